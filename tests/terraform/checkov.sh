#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Let Checkov look at a folder of Terraform configurations and print what it finds as JSON. It brings 80 packages at versions
# of its own, so it has a virtual environment of its own, in .cache, made when it is first called for.
#
#     tests/terraform/checkov.sh FOLDER
set -euo pipefail
version=3.3.30
home=$(cd "$(dirname "$0")/../.." && pwd)/.cache/checkov
if ! [ -e "$home/$version" ]; then
    rm -rf "$home"
    "${PYTHON:-python3}" -m venv "$home"
    "$home/bin/pip" install -qq --disable-pip-version-check "checkov==$version" >&2
    touch "$home/$version"
fi
exec "$home/bin/checkov" --directory "$1" --framework terraform --compact --skip-download --soft-fail --output json
