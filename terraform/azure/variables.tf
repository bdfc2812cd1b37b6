variable "publishers" {
  description = <<-EOT
    Managed identities for those who use lkcloud, by name. `uses` says what each may do: words of docs/azure.md, Permissions,
    such as `disk`, `gallery`, `test`, `promote`, `share`, `prune`. `github` and `gitlab` are the subjects whose jobs may act
    as it, each in full, since Azure knows no `*` there: `repo:ORG/REPO:environment:release`,
    `project_path:GROUP/PROJECT:ref_type:branch:ref:main`. `principals` are object ids of users, groups and service principals
    who get the same roles.
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
    error_message = "A publisher has a use that docs/azure.md, Permissions, does not know."
  }

  validation {
    condition     = alltrue([for one in var.publishers : !contains(one.uses, "group")])
    error_message = "The resource group is made here: nobody needs the use `group`."
  }

  validation {
    condition = alltrue(flatten([
      for one in var.publishers : concat(
        [for subject in one.github : can(regex("^repo:[-\\w.]+/[-\\w.]+:[-\\w./:@]+$", subject))],
        [for subject in one.gitlab : can(regex("^project_path:[-\\w.]+/[-\\w./]+:[-\\w./:@]+$", subject))],
      )
    ]))
    error_message = "Subjects name a project, and all else in full: repo:ORG/REPO:..., or project_path:GROUP/PROJECT:..."
  }
}

variable "resource_group" {
  description = "Name of the resource group that is made, for all that lkcloud makes: `--resource-group`."
  type        = string
  default     = "lkcloud"
}

variable "location" {
  description = "Region, such as `westeurope`: `--location`."
  type        = string
}

variable "storage_account" {
  description = "Name of the storage account for `--method blob`; null for none."
  type        = string
  default     = null
}

variable "container" {
  description = "Container for page blobs: `--container`."
  type        = string
  default     = "lkcloud"
}

variable "replication" {
  description = "How the storage account is replicated. What is in it is there for the time of a push."
  type        = string
  default     = "LRS"
}

variable "gallery" {
  description = "Name of the Azure Compute Gallery: `--gallery`; null for none."
  type        = string
  default     = null
}

variable "community" {
  description = "Make the gallery one that can be published for everybody (`--public`), with what Azure shows of its publisher."

  type = object({
    prefix            = string
    publisher_uri     = string
    publisher_contact = string
    eula              = string
  })

  default = null
}

variable "definitions" {
  description = <<-EOT
    Image definitions in the gallery, by name (`--definition`): `generation` V1 boots by BIOS, V2 by UEFI. What the disk has no
    drivers for is to be switched off. `trusted_launch` is for loaders that Microsoft's UEFI authority has signed.
  EOT

  type = map(object({
    publisher           = optional(string, "lkcloud")
    offer               = string
    sku                 = string
    os_type             = optional(string, "Linux")
    architecture        = optional(string, "x64")
    generation          = optional(string, "V2")
    specialized         = optional(bool, false)
    accelerated_network = optional(bool, true)
    nvme                = optional(bool, true)
    trusted_launch      = optional(bool, false)
    description         = optional(string)
  }))

  default = {}
}

variable "encrypted" {
  description = "Make a key, and a disk encryption set that encrypts disks and images with it: `--disk-encryption-set`."
  type        = bool
  default     = false
}

variable "key_vault" {
  description = "Name of the key vault of that key, which nobody else has. Whoever applies this must be allowed to make keys in it."
  type        = string
  default     = null

  validation {
    condition     = !var.encrypted || var.key_vault != null
    error_message = "A key needs a vault: give key_vault."
  }
}

variable "vm_sizes" {
  description = "Sizes that machines in the resource group may have, by Azure's own policy. null for those that lkcloud takes, empty for any."
  type        = set(string)
  default     = null
}

variable "gitlab_url" {
  description = "URL of GitLab."
  type        = string
  default     = "https://gitlab.com"

  validation {
    condition     = startswith(var.gitlab_url, "https://") && !endswith(var.gitlab_url, "/")
    error_message = "An https URL without a slash at its end."
  }
}

variable "tags" {
  description = "Tags of all that is made."
  type        = map(string)
  default     = {}
}
