# SPDX-License-Identifier: Apache-2.0
"""Clients of other languages and other people work with the stand-in, with the key that the environment names."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from google.cloud import storage

from lkcloud_gcp.sandbox import GcpStandIn

Run = Callable[..., str]


def runner(program: str, environment: dict[str, str], home: Path) -> Run:
    """Return what runs PROGRAM and gives back what it prints."""

    def run(*words: str) -> str:
        settings = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
        done = subprocess.run([program, *words], env=settings, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.skipif(not shutil.which("rclone"), reason="needs the Debian package rclone")
def test_rclone(gcp: GcpStandIn, tmp_path: Path) -> None:
    """In Go, by Google's API client for Go."""
    environment = dict(gcp.environment())
    settings = {
        "TYPE": "google cloud storage",
        "SERVICE_ACCOUNT_FILE": environment["GOOGLE_APPLICATION_CREDENTIALS"],
        "ENDPOINT": environment["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"],
        "PROJECT_NUMBER": "123456789012",
        "LOCATION": "eu",
        "BUCKET_POLICY_ONLY": "true",
    }
    environment |= {f"RCLONE_CONFIG_GCS_{name}": value for name, value in settings.items()}
    rclone = runner("rclone", environment, tmp_path)
    there = tmp_path / "there"
    there.mkdir()
    # More than 16 MiB goes in chunks.
    (there / "large").write_bytes(os.urandom(17 << 20))
    (there / "small ü").write_bytes(b"small")
    rclone("mkdir", "gcs:lkcloud-disks")
    rclone("copy", str(there), "gcs:lkcloud-disks/folder")
    assert {"buckets.insert", "objects.start", "objects.chunk", "objects.insert"} <= set(gcp.traffic.operations())
    listed = json.loads(rclone("lsjson", "-R", "--files-only", "gcs:lkcloud-disks"))
    assert sorted((item["Path"], item["Size"]) for item in listed) == [
        ("folder/large", 17 << 20),
        ("folder/small ü", 5),
    ]
    rclone("check", "--download", str(there), "gcs:lkcloud-disks/folder")
    rclone("copyto", "gcs:lkcloud-disks/folder/large", "gcs:lkcloud-disks/copied")
    held = gcp.holdings.store.find("lkcloud-disks", "copied")
    assert held is not None
    assert held.size == 17 << 20
    rclone("purge", "gcs:lkcloud-disks")
    assert gcp.holdings.store.buckets == {}


@pytest.mark.skipif(not shutil.which("gcloud"), reason="needs the Google Cloud CLI, which Debian does not have")
def test_gcloud(gcp: GcpStandIn, client: storage.Client, tmp_path: Path) -> None:
    """Google's own command line finds the stand-in by the environment alone."""
    environment = {
        **gcp.environment(),
        "CLOUDSDK_CORE_PROJECT": "lkcloud-sandbox",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "true",
    }
    gcloud = runner("gcloud", environment, tmp_path)
    there = tmp_path / "there"
    there.write_bytes(os.urandom(17 << 20))
    client.create_bucket("lkcloud-disks", location="EU")
    gcloud("auth", "activate-service-account", "--key-file", environment["GOOGLE_APPLICATION_CREDENTIALS"])
    gcloud("storage", "cp", str(there), "gs://lkcloud-disks/disk")
    held = gcp.holdings.store.find("lkcloud-disks", "disk")
    assert held is not None
    assert b"".join(held.pieces()) == there.read_bytes()
    assert "objects.start" in gcp.traffic.operations()
    gcloud("storage", "rm", "--recursive", "gs://lkcloud-disks")
    assert gcp.holdings.store.buckets == {}
