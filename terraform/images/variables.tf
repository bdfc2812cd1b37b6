variable "manifest" {
  description = "What `lkcloud publish` has written, decoded: jsondecode(file(\"release.json\"))."

  type = object({
    lkcloud  = string
    version  = string
    complete = bool

    images = list(object({
      cloud    = string
      region   = string
      arch     = string
      id       = string
      image    = string
      target   = string
      tested   = bool
      promoted = bool
    }))
  })

  validation {
    condition     = var.manifest.lkcloud == "1"
    error_message = "The manifest is of another form than this module reads."
  }
}

variable "image" {
  description = "Id of the image in the release file, where it has several of one architecture; null for all."
  type        = string
  default     = null
}

variable "targets" {
  description = "Targets of the release file whose images are meant; null for all."
  type        = set(string)
  default     = null
}

variable "complete" {
  description = "Refuse a release of which something is missing."
  type        = bool
  default     = true
}

variable "tested" {
  description = "Leave out images that were not seen to boot."
  type        = bool
  default     = true
}
