# SPDX-License-Identifier: Apache-2.0
"""What Google Cloud must allow whoever uses lkcloud.

The list follows from the calls that are made; which permissions each method asks for its page in the reference says
(https://cloud.google.com/compute/docs/reference/rest/v1, https://cloud.google.com/storage/docs/access-control/iam-json).
That images.insert asks for compute.images.setLabels where it is given labels is not said there; of instances it is.
"""

from collections.abc import Mapping

from lkcloud.permissions import Permission

USES: Mapping[str, str] = {
    "composite": "`push` with `--method composite`",
    "resumable": "`push` with `--method resumable`",
    "bucket": "the bucket that lkcloud makes",
    "keep": "the mark of a tarball that `--keep-object` leaves",
    "disk": "a disk that is an object, `gs://...`",
    "test": "`--test`, `test`",
    "share": "`--share-with`, `--public`, `share`",
    "promote": "`--family`, `promote`",
    "deprecate": "`deprecate`",
    "list": "`list`, `show`",
    "delete": "`delete`",
    "prune": "`prune`",
    "sweep": "`sweep`",
    "gc": "`gc`",
    "doctor": "what `doctor` looks at beside permissions",
}
"""What needs permissions, and how the user calls it."""

ON: Mapping[str, str] = {
    "project": "the project",
    "bucket": "the bucket, or the project where lkcloud makes it",
    "source": "the bucket that the disk is in",
}
"""Where a role can be given that has the permission."""

_PUSH = ("composite", "resumable")
_HELD = ("prune", "sweep")
"""What looks first whether something leads to an image."""

PERMISSIONS = (
    # The image
    Permission(
        "compute.images.get", "project", (*_PUSH, "test", "share", "promote", "deprecate", "delete", "prune", "sweep")
    ),
    Permission("compute.images.list", "project", ("list", "delete", "prune", "sweep", "gc")),
    Permission("compute.images.create", "project", _PUSH),
    Permission("compute.images.setLabels", "project", (*_PUSH, "deprecate", "prune", "sweep")),
    Permission("compute.images.delete", "project", (*_PUSH, "delete", "prune", "sweep", "gc")),
    Permission(
        "compute.globalOperations.get", "project", (*_PUSH, "promote", "deprecate", "delete", "prune", "sweep", "gc")
    ),
    Permission("compute.globalOperations.list", "project", (), _PUSH),
    Permission("compute.projects.get", "project", (), (*_PUSH, "doctor")),
    Permission("compute.zones.get", "project", (), ("doctor",)),
    # The way there
    Permission("storage.objects.create", "bucket", _PUSH),
    Permission("storage.objects.get", "bucket", (*_PUSH, "keep")),
    Permission("storage.objects.list", "bucket", (*_PUSH, "delete", "gc")),
    Permission("storage.objects.delete", "bucket", (*_PUSH, "delete", "gc")),
    Permission("storage.objects.update", "bucket", ("keep",)),
    Permission("storage.buckets.get", "bucket", ("bucket",), (*_PUSH, "delete", "gc", "doctor")),
    Permission("storage.buckets.create", "project", ("bucket",)),
    Permission("storage.buckets.list", "project", ("bucket",)),
    Permission("storage.objects.get", "source", ("disk",)),
    # The boot test
    Permission("compute.instances.create", "project", ("test",)),
    Permission("compute.instances.setLabels", "project", ("test",)),
    Permission("compute.instances.get", "project", ("test",)),
    Permission("compute.instances.getSerialPortOutput", "project", ("test",)),
    Permission("compute.instances.delete", "project", ("test", "delete", "gc")),
    Permission("compute.instances.list", "project", (), ("delete", "gc")),
    Permission("compute.disks.create", "project", ("test",)),
    Permission("compute.disks.setLabels", "project", ("test",)),
    Permission("compute.images.useReadOnly", "project", ("test",)),
    Permission("compute.subnetworks.use", "project", ("test",)),
    Permission("compute.zoneOperations.get", "project", ("test", "delete", "gc")),
    # To others
    Permission("compute.images.getIamPolicy", "project", ("share", "prune")),
    Permission("compute.images.setIamPolicy", "project", ("share", "prune")),
    Permission("compute.images.update", "project", ("promote",)),
    Permission("compute.images.getFromFamily", "project", _HELD, ("promote",)),
    # The end
    Permission("compute.images.deprecate", "project", ("deprecate", "prune", "sweep")),
    Permission("compute.instanceTemplates.list", "project", _HELD),
)
