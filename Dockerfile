# A static binary in an empty image: no shell, no package manager, no root.
FROM rust:1.95-alpine AS build
# A C compiler for the bundled SQLite and ring; certificate roots for the final image.
RUN apk add --no-cache build-base ca-certificates
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY rules rules
COPY docs/runbooks docs/runbooks
COPY benches benches
COPY src src
RUN cargo build --release --locked --bin watchfire \
    && strip target/release/watchfire \
    && mkdir -p /out/data /out/etc/ssl/certs /out/etc/watchfire \
    && cp target/release/watchfire /out/watchfire \
    && cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/

FROM scratch
# 65534 is nobody; the data folder is the only thing it may write.
COPY --from=build --chown=0:0 /out/watchfire /watchfire
COPY --from=build --chown=0:0 /out/etc /etc
COPY --from=build --chown=65534:65534 /out/data /data
USER 65534:65534
VOLUME /data
EXPOSE 9095
# Listening beyond the container needs authentication in the mounted configuration; without a file it stays on loopback.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/watchfire", "probe"]
ENTRYPOINT ["/watchfire"]
CMD ["serve", "--storage.path=/data"]
