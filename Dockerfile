# Switchyard in a container: `docker build --target cpu .`, or `--target rocm` for AMD GPUs. docs/operating.md has the rest.
ARG NODE_IMAGE=node:22-bookworm-slim
ARG ROCM_IMAGE=rocm/dev-ubuntu-24.04:6.4.1

FROM ${NODE_IMAGE} AS pack
WORKDIR /source
COPY . .
RUN node scripts/run.mjs pack /packed

FROM ${NODE_IMAGE} AS install
WORKDIR /app
COPY --from=pack /packed /packed
# Its install script would fetch files of CUDA that are never used.
ENV ONNXRUNTIME_NODE_INSTALL=skip
RUN npm install --no-audit --no-fund --no-save /packed/*.tgz

# What both have.
FROM ${NODE_IMAGE} AS cpu
COPY --from=install /app /app
ENV NODE_ENV=production HF_HOME=/models SWITCHYARD_HOST=0.0.0.0 SWITCHYARD_PORT=8000 PATH=/app/node_modules/.bin:$PATH
# For whatever user it is run as.
RUN mkdir -m 1777 /models
VOLUME /models
USER 1000:1000
EXPOSE 8000
# 503 while the model loads: gpt-oss-120b may take minutes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m CMD node -e "fetch('http://127.0.0.1:'+process.env.SWITCHYARD_PORT+'/health').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"
ENTRYPOINT ["switchyard"]
CMD ["serve"]

FROM ${ROCM_IMAGE} AS rocm
COPY --from=install /usr/local/bin/node /usr/local/bin/node
COPY --from=install /app /app
ENV NODE_ENV=production HF_HOME=/models SWITCHYARD_HOST=0.0.0.0 SWITCHYARD_PORT=8000 PATH=/app/node_modules/.bin:$PATH SWITCHYARD_RUNNER=hip
# For whatever user it is run as.
RUN mkdir -m 1777 /models
VOLUME /models
USER 1000:1000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=15m CMD node -e "fetch('http://127.0.0.1:'+process.env.SWITCHYARD_PORT+'/health').then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))"
ENTRYPOINT ["switchyard"]
CMD ["serve"]
