import { Data } from "effect"
import type { TokenId } from "./Ids.ts"

/** Who looks: an app, which sees what it owns, or the operator, who sees everything. */
export type Viewer = Data.TaggedEnum<{
  App: { readonly tokenId: TokenId }
  Operator: {}
}>

export const { App, Operator, $is: isViewer } = Data.taggedEnum<Viewer>()

/** The operator as a value. */
export const OPERATOR: Viewer = Operator()

/** Returns the app's id, or `undefined` for the operator: the owner that a query is limited to. */
export const ownerSeenBy = (viewer: Viewer): TokenId | undefined =>
  viewer._tag === "App" ? viewer.tokenId : undefined

/** Whether the viewer may see what belongs to that app. What belongs to no app (`null`) is the operator's. */
export const maySee = (viewer: Viewer, owner: TokenId | null): boolean =>
  viewer._tag === "Operator" || viewer.tokenId === owner
