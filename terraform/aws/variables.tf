variable "publishers" {
  description = <<-EOT
    Roles for those who use lkcloud, by name. `uses` says what the role may do: words of docs/aws.md, Permissions, such as
    `ebs`, `import`, `test`, `copy`, `share`, `promote`, `prune`. `github` and `gitlab` are the subjects whose jobs may
    assume it, `*` for any text: `repo:ORG/REPO:ref:refs/tags/v*`, `repo:ORG/REPO:environment:release`,
    `project_path:GROUP/PROJECT:ref_type:tag:ref:v*`. `principals` are ARNs of users and roles that may assume it.
  EOT

  type = map(object({
    uses       = set(string)
    github     = optional(set(string), [])
    gitlab     = optional(set(string), [])
    principals = optional(set(string), [])
  }))

  validation {
    condition = alltrue([
      for one in var.publishers :
      length(setsubtract(one.uses, keys(jsondecode(file("${path.module}/permissions.json")).uses))) == 0
    ])
    error_message = "A publisher has a use that docs/aws.md, Permissions, does not know."
  }

  validation {
    # A subject of `*` alone, or one that begins with it, would let in whoever has an account there.
    condition = alltrue(flatten([
      for one in var.publishers : concat(
        [for subject in one.github : can(regex("^repo:[-\\w.]+/[-\\w.]+:[-\\w./:@*]+$", subject))],
        [for subject in one.gitlab : can(regex("^project_path:[-\\w.]+/[-\\w./]+:[-\\w./:@*]+$", subject))],
      )
    ]))
    error_message = "Subjects name a project, and have no odd characters: repo:ORG/REPO:..., or project_path:GROUP/PROJECT:..."
  }

  validation {
    condition     = alltrue([for one in var.publishers : length(setunion(one.github, one.gitlab, one.principals)) > 0])
    error_message = "A publisher is somebody: name subjects of github or gitlab, or principals."
  }
}

variable "bucket" {
  description = "Name of the bucket for `--method import`, made in the provider's region; null for none, and no role for VM Import."
  type        = string
  default     = null
}

variable "key_prefix" {
  description = "What object names in the bucket begin with: `--key-prefix`."
  type        = string
  default     = "lkcloud/"
}

variable "leftover_days" {
  description = "Days after which objects and unfinished uploads below `key_prefix` are removed. A push removes its own."
  type        = number
  default     = 3

  validation {
    condition     = var.leftover_days >= 1
    error_message = "The shortest is one day: an import can take hours."
  }
}

variable "import_role" {
  description = "Name of the role that VM Import assumes: `--role`."
  type        = string
  default     = "vmimport"
}

variable "disk_buckets" {
  description = "Names of buckets that disks are read from (`s3://...`), for publishers with the use `disk`."
  type        = set(string)
  default     = []
}

variable "parameters" {
  description = "Parameters of Systems Manager that publishers with the use `promote` may write, `*` for any text: `/myos/*`."
  type        = set(string)
  default     = []
}

variable "instance_types" {
  description = "Types that boot tests may use; all others are denied, whatever another policy allows. null for those that lkcloud takes."
  type        = set(string)
  default     = null
}

variable "encrypted" {
  description = "Make a KMS key that images are encrypted with, for publishers with the use `encrypt`, and for the bucket."
  type        = bool
  default     = false
}

variable "kms_keys" {
  description = "ARNs of further keys that publishers with the use `encrypt` may use, such as those of regions that images are copied to."
  type        = set(string)
  default     = []
}

variable "key_users" {
  description = "Ids of accounts that images encrypted with the key are shared with."
  type        = set(string)
  default     = []
}

variable "public_images" {
  description = "Let the account have public images in the provider's region: switches block public access for AMIs off there."
  type        = bool
  default     = false
}

variable "github_provider_arn" {
  description = "ARN of the account's OIDC provider for GitHub Actions; made where a publisher names a subject there and this is null. An account has one."
  type        = string
  default     = null
}

variable "gitlab_provider_arn" {
  description = "ARN of the account's OIDC provider for GitLab; made where a publisher names a subject there and this is null."
  type        = string
  default     = null
}

variable "gitlab_url" {
  description = "URL of GitLab, which is also the audience of its tokens in docs/ci.md."
  type        = string
  default     = "https://gitlab.com"

  validation {
    condition     = startswith(var.gitlab_url, "https://") && !endswith(var.gitlab_url, "/")
    error_message = "An https URL without a slash at its end."
  }
}

variable "session_hours" {
  description = "Hours that credentials of a publisher last at most. A job asks for them with `role-duration-seconds`."
  type        = number
  default     = 4
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}
}
