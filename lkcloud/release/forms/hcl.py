# SPDX-License-Identifier: Apache-2.0
"""Terraform's own language: local values, by cloud, region and architecture, to put beside a configuration.

Syntax of strings: https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md#quoted-templates
"""

from collections.abc import Iterator

from lkcloud.errors import UsageError
from lkcloud.release.manifest import Manifest


def hcl(manifest: Manifest) -> str:
    """Return `locals { lkcloud_images = ... }`, used as local.lkcloud_images["aws"]["eu-central-1"]["x86_64"].

    Raises UsageError where one place has two images of an architecture.
    """
    places: dict[str, dict[str, dict[str, str]]] = {}
    for image in manifest.images:
        architectures = places.setdefault(image.cloud, {}).setdefault(image.region, {})
        if image.arch in architectures:
            raise UsageError(
                f"the manifest has two images of {image.arch} in {image.region} on {image.cloud}, "
                "and this form has room for one",
                hint="choose one with --image",
            )
        architectures[image.arch] = image.id
    return "\n".join(_lines(places, manifest.version)) + "\n"


def _lines(places: dict[str, dict[str, dict[str, str]]], version: str) -> Iterator[str]:
    yield "locals {"
    yield f"  lkcloud_version = {_quoted(version)}"
    yield "  lkcloud_images = {"
    for cloud, regions in places.items():
        yield f"    {_quoted(cloud)} = {{"
        for region, architectures in regions.items():
            yield f"      {_quoted(region)} = {{"
            for arch, image_id in architectures.items():
                yield f"        {_quoted(arch)} = {_quoted(image_id)}"
            yield "      }"
        yield "    }"
    yield "  }"
    yield "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped.replace("${", "$${").replace("%{", "%%{")}"'
