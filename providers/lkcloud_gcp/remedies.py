# SPDX-License-Identifier: Apache-2.0
"""What mends a project, as commands of gcloud and as Terraform.

gcloud: https://cloud.google.com/sdk/gcloud/reference. Terraform's resources are those of the provider hashicorp/google,
https://registry.terraform.io/providers/hashicorp/google
"""

import json
import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lkcloud.diagnosis import Remedy
from lkcloud_gcp.bucket import KEPT_DAYS
from lkcloud_gcp.options import GcpOptions


def command(*words: str) -> str:
    """Return a command of gcloud, quoted for a shell."""
    return shlex.join(["gcloud", *words])


def enable(project: str, service: str) -> Remedy:
    """Enable an API, such as compute.googleapis.com; it can take some minutes."""
    label = service.partition(".")[0]
    return Remedy(
        commands=(command("services", "enable", service, f"--project={project}"),),
        terraform=f'''resource "google_project_service" "{label}" {{
  project            = {_text(project)}
  service            = {_text(service)}
  disable_on_destroy = false
}}''',
    )


@dataclass(frozen=True, slots=True)
class Role:
    """A role of PROJECT that has PERMISSIONS, for MEMBER, on the project or on BUCKET; NAME is of letters and `_`.

    MADE is whether the bucket is there; else `make_bucket` comes first.
    """

    name: str
    project: str
    bucket: str
    permissions: Sequence[str]
    member: str
    made: bool = True

    @property
    def title(self) -> str:
        """What people read."""
        return self.name.replace("_", " ")

    def commands(self) -> Iterable[str]:
        """Yield what makes it and gives it."""
        project = f"--project={self.project}"
        actions = f"--permissions={','.join(self.permissions)}"
        yield command("iam", "roles", "create", self.name, project, f"--title={self.title}", actions, "--stage=GA")
        who = (f"--member={self.member}", f"--role=projects/{self.project}/roles/{self.name}")
        if self.bucket:
            yield command("storage", "buckets", "add-iam-policy-binding", f"gs://{self.bucket}", *who)
        else:
            # Without it gcloud asks which condition is meant, where the policy has any.
            yield command("projects", "add-iam-policy-binding", self.project, *who, "--condition=None")

    def terraform(self) -> str:
        """Return the role and its binding."""
        actions = "".join(f'    "{action}",\n' for action in self.permissions)
        kind, place, pad = "google_project_iam_member", f"project = {_text(self.project)}", " "
        after = ""
        if self.bucket:
            after = "" if self.made else f"\n\n  depends_on = [google_storage_bucket.{label(self.bucket)}]"
            kind, place, pad = "google_storage_bucket_iam_member", f"bucket = {_text(self.bucket)}", ""
        return f'''resource "google_project_iam_custom_role" "{self.name}" {{
  project = {_text(self.project)}
  role_id = {_text(self.name)}
  title   = {_text(self.title)}
  permissions = [
{actions}  ]
}}

resource "{kind}" "{self.name}" {{
  {place}
  role   {pad}= google_project_iam_custom_role.{self.name}.name
  member {pad}= {_text(self.member)}{after}
}}'''


def allow(roles: Sequence[Role]) -> Remedy:
    """Give ROLES to their member; who it is must be known."""
    named = " and ".join(role.name for role in roles)
    if not all(role.member for role in roles):
        actions = ", ".join(action for role in roles for action in role.permissions)
        return Remedy(do=f"give this identity a role that has {actions}")
    return Remedy(
        do=f"give it {named}; a role of that name that is there already is changed by gcloud iam roles update",
        commands=tuple(one for role in roles for one in role.commands()),
        terraform="\n\n".join(role.terraform() for role in roles),
    )


def make_bucket(options: GcpOptions, project: str, name: str) -> Remedy:
    """Make a bucket that nothing becomes public in, and that keeps nothing for long."""
    rule = f"age = {KEPT_DAYS}"
    if options.object_prefix:
        rule = f"age            = {KEPT_DAYS}\n      matches_prefix = [{_text(options.object_prefix)}]"
    return Remedy(
        do="or leave --bucket out, and lkcloud makes one",
        commands=(
            command(
                "storage", "buckets", "create", f"gs://{name}", f"--project={project}",
                f"--location={options.bucket_location}", "--uniform-bucket-level-access",
                "--public-access-prevention", "--soft-delete-duration=0",
            ),
        ),
        terraform=f'''resource "google_storage_bucket" "{label(name)}" {{
  project                     = {_text(project)}
  name                        = {_text(name)}
  location                    = {_text(options.bucket_location)}
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  soft_delete_policy {{
    retention_duration_seconds = 0
  }}

  lifecycle_rule {{
    action {{
      type = "Delete"
    }}

    condition {{
      {rule}
    }}
  }}
}}''',
    )  # fmt: skip


def change_bucket(name: str, flag: str, do: str = "") -> Remedy:
    """Change one setting of a bucket that is there; Terraform would need all of them."""
    return Remedy(do=do, commands=(command("storage", "buckets", "update", f"gs://{name}", flag),))


def label(text: str) -> str:
    """Return TEXT as a name in Terraform."""
    plain = re.sub(r"\W", "_", text)
    return plain if plain[:1].isalpha() else f"_{plain}"


def _text(text: str) -> str:
    """Return TEXT as a string of Terraform, where `${` and `%{` begin an expression unless they are doubled."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")
