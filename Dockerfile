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
 && mkdir -p /data /home/node/.claude /home/node/.acpx/sessions \
 && chown -R node:node /data /home/node

USER node
ENV BIND_HOST=0.0.0.0 DATA_DIR=/data CLAUDE_CONFIG_DIR=/home/node/.claude
VOLUME ["/data", "/home/node/.claude", "/home/node/.acpx/sessions"]
EXPOSE 8800
CMD ["node", "bin/clawdforge.mjs"]
