#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job on this machine: make a disk that boots, push it to the sandbox's clouds by each way, boot every image.
set -euo pipefail

work=$(mktemp -d)
export LKCLOUD_STATE_DIR="$work/state" LKCLOUD_CACHE_DIR="$work/cache" AWS_DEFAULT_REGION=eu-central-1
trap 'lkcloud sandbox down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

say() { printf '\n\033[1m$ %s\033[0m\n' "$*" >&2; "$@"; }

say lkcloud sandbox disk "$work/demo.raw" --message "hello from lkcloud"
say lkcloud inspect "$work/demo.raw"
say lkcloud sandbox up aws >/dev/null

# The snapshot import wants a bucket; the sandbox has none until somebody makes one, as in a new account.
eval "$(lkcloud sandbox env aws)"
say python -m awscli s3 mb s3://lkcloud-demo >/dev/null

say lkcloud push aws "$work/demo.raw" --name demo-ebs --sandbox --test --expect "hello from lkcloud"
say lkcloud push aws "$work/demo.raw" --name demo-import --method import --bucket lkcloud-demo --sandbox \
    --test --expect "hello from lkcloud"
say lkcloud list aws --sandbox

say lkcloud push gcp "$work/demo.raw" --name demo-composite --sandbox --expect "hello from lkcloud" --family demo
say lkcloud push gcp "$work/demo.raw" --name demo-resumable --method resumable --sandbox \
    --test --expect "hello from lkcloud"
say lkcloud list gcp --sandbox
