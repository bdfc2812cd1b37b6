variable "project" {
  description = "Id of the project that images are made in: `--project`."
  type        = string
}

variable "publishers" {
  description = <<-EOT
    Service accounts for those who use lkcloud, by name (6 to 30 letters, digits and hyphens). `uses` says what each may do:
    words of docs/gcp.md, Permissions, such as `composite`, `test`, `share`, `promote`, `prune`. `github` and `gitlab` are
    the subjects whose jobs may act as it, `*` for any text: `repo:ORG/REPO:ref:refs/tags/v*`,
    `repo:ORG/REPO:environment:release`, `project_path:GROUP/PROJECT:ref_type:tag:ref:v*`. `principals` are members who may
    act as it, such as `group:release@example.com`.
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
    error_message = "A publisher has a use that docs/gcp.md, Permissions, does not know."
  }

  validation {
    condition     = alltrue([for one in var.publishers : !contains(one.uses, "bucket")])
    error_message = "The bucket is made here: nobody needs the use `bucket`."
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
    condition     = alltrue([for name in keys(var.publishers) : can(regex("^[a-z][-a-z0-9]{4,28}[a-z0-9]$", name))])
    error_message = "A publisher's name has 6 to 30 small letters, digits and hyphens, and begins with a letter."
  }
}

variable "bucket" {
  description = "Name of the bucket for tarballs: `--bucket`. PROJECT-lkcloud-disks if null."
  type        = string
  default     = null
}

variable "location" {
  description = "Location of the bucket, such as `EU` or `europe-west3`, and of the key."
  type        = string
  default     = "US"
}

variable "object_prefix" {
  description = "What object names in the bucket begin with: `--object-prefix`."
  type        = string
  default     = "lkcloud/"
}

variable "leftover_days" {
  description = "Days after which objects below `object_prefix`, and unfinished uploads, are removed. A push removes its own."
  type        = number
  default     = 3

  validation {
    condition     = var.leftover_days >= 1
    error_message = "The shortest is one day: an import can take an hour."
  }
}

variable "disk_buckets" {
  description = "Names of buckets that disks are read from (`gs://...`), for publishers with the use `disk`."
  type        = set(string)
  default     = []
}

variable "encrypted" {
  description = "Make a Cloud KMS key that images and objects are encrypted with."
  type        = bool
  default     = false
}

variable "test_zone" {
  description = "Zone of boot tests, for which a network is made that nothing gets into or out of; null for none, and `--network default`."
  type        = string
  default     = null
}

variable "test_range" {
  description = "Addresses of that network."
  type        = string
  default     = "10.210.0.0/28"
}

variable "organization" {
  description = "Number of the organization, to let the whole project make machines of `machine_types` only; null to let it be. IAM itself cannot narrow machines by type."
  type        = string
  default     = null
}

variable "machine_types" {
  description = "Types that machines of the project may have, where `organization` is given."
  type        = set(string)
  default     = ["e2-micro", "e2-small", "e2-medium", "t2a-standard-1"]
}

variable "pool" {
  description = "Id of the workload identity pool that is made where a publisher names subjects of GitHub or GitLab."
  type        = string
  default     = "lkcloud"
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

variable "enable_services" {
  description = "Enable the APIs that lkcloud and this module need. They stay enabled when this is destroyed."
  type        = bool
  default     = true
}

variable "labels" {
  description = "Labels of all that is made and can have some."
  type        = map(string)
  default     = {}
}
