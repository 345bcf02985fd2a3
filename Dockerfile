# The extension on the official image of PostgreSQL.  Nothing of what it takes to
# build stays in the image.  The project's tests lint this file; they build no
# image, since that takes a container engine.
#
#   docker build --build-arg PG_MAJOR=17 --tag postgres-pinterest-capi .
#   docker run --env POSTGRES_PASSWORD=... postgres-pinterest-capi -c shared_preload_libraries=pinterest_capi
ARG PG_MAJOR=17

FROM postgres:${PG_MAJOR}-bookworm AS build
ARG PG_MAJOR
RUN apt-get update \
	&& apt-get install -y --no-install-recommends \
		gcc libc6-dev libcurl4-openssl-dev libssl-dev libutf8proc-dev make \
		"postgresql-server-dev-${PG_MAJOR}" \
	&& rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" \
	&& make PG_CONFIG="/usr/lib/postgresql/${PG_MAJOR}/bin/pg_config" DESTDIR=/installed install

FROM postgres:${PG_MAJOR}-bookworm
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libcurl4 libssl3 libutf8proc2 \
	&& rm -rf /var/lib/apt/lists/*
COPY --from=build /installed/ /
