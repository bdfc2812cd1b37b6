#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The main job on this machine: make a disk that boots, push it to the sandbox's clouds by each way, boot every image,
# and say in one table what came of it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
export LKCLOUD_STATE_DIR="$work/state" LKCLOUD_CACHE_DIR="$work/cache" AWS_DEFAULT_REGION=eu-central-1
trap 'lkcloud sandbox down >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

say() { printf '\n\033[1m$ %s\033[0m\n' "$*" >&2; "$@"; }

# push CLOUD METHOD OPTIONS...: METHOD is the word for it in the table.
pushed=()
push() {
    local cloud=$1 method=$2 document="$work/${#pushed[@]}.json"
    shift 2
    say lkcloud push "$cloud" "$work/demo.raw" "$@" --sandbox --test --expect "hello from lkcloud" --json >"$document"
    pushed+=("$method=$document")
}

say lkcloud sandbox disk "$work/demo.raw" --size 1024 --message "hello from lkcloud"
say lkcloud inspect "$work/demo.raw"
say lkcloud sandbox up aws >/dev/null

# The snapshot import wants a bucket; the sandbox has none until somebody makes one, as in a new account.
eval "$(lkcloud sandbox env aws)"
say python -m awscli s3 mb s3://lkcloud-demo >/dev/null

push aws ebs --name demo-ebs
push aws import --name demo-import --method import --bucket lkcloud-demo
say lkcloud list aws --sandbox

push gcp composite --name demo-composite --family demo
push gcp resumable --name demo-resumable --method resumable
say lkcloud list gcp --sandbox

push azure disk --name demo-disk
push azure blob --name demo-blob --method blob
push azure "disk, gallery" --name demo-gallery-disk --gallery demo --create-gallery --latest
push azure "blob, gallery" --name demo-gallery-blob --method blob --gallery demo --create-gallery
say lkcloud list azure --sandbox --gallery demo

push local folder --name demo-folder
say lkcloud list local --sandbox

echo
python "$here/demo_table.py" "${pushed[@]}"
