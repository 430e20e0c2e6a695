import { relative } from "node:path"
import type { Reporter, TestCase, TestModule } from "vitest/node"

const COUNT = 20

const millis = (test: TestCase): number => test.diagnostic()?.duration ?? 0

/** Prints the slowest tests of a run, the slowest first, in milliseconds. */
export default class SlowestReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()])
    console.log(`\nThe slowest ${COUNT} of ${tests.length} tests:`)
    for (const test of tests.toSorted((one, other) => millis(other) - millis(one)).slice(0, COUNT))
      console.log(
        `${String(Math.round(millis(test))).padStart(7)}  ${relative(process.cwd(), test.module.moduleId)} > ${test.fullName}`,
      )
  }
}
