data "google_project" "here" {
  project_id = var.project
}

locals {
  services = concat(
    ["cloudresourcemanager", "compute", "iam", "storage"],
    local.federated ? ["iamcredentials", "sts"] : [],
    var.encrypted ? ["cloudkms"] : [],
    var.organization == null ? [] : ["orgpolicy"],
  )
}

resource "google_project_service" "needed" {
  for_each = var.enable_services ? toset(local.services) : []

  project            = var.project
  service            = "${each.key}.googleapis.com"
  disable_on_destroy = false
}
