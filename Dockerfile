FROM node:24-bookworm-slim

WORKDIR /app
COPY package.json package-lock.json ./
# With the development dependencies: they are where `claude`, the ACP adapter and `acpx` come from.
RUN npm ci && npm cache clean --force

COPY bin ./bin
COPY src ./src

# One `claude` serves /run, sessions and the operator's `docker exec -it clawdforge claude /login`.
RUN ln -s "$(ls -d /app/node_modules/@anthropic-ai/claude-agent-sdk-linux-*/claude)" /usr/local/bin/claude \
 && ln -s /app/node_modules/.bin/acpx /usr/local/bin/acpx \
 && ln -s /app/bin/clawdforge.mjs /usr/local/bin/clawdforge \
 && mkdir -p /data /home/node/.claude /home/node/.acpx/sessions \
 && chown -R node:node /data /home/node

USER node
ENV BIND_HOST=0.0.0.0 DATA_DIR=/data CLAUDE_CONFIG_DIR=/home/node/.claude
VOLUME ["/data", "/home/node/.claude", "/home/node/.acpx/sessions"]
EXPOSE 8800
# What it needs beside being up is at /readyz: a missing login is no reason to start it anew.
HEALTHCHECK --start-period=20s CMD ["node", "-e", "fetch('http://127.0.0.1:8800/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "bin/clawdforge.mjs"]
