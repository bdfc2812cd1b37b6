# Where boot tests run: a network that nothing gets into or out of, and, for an organization, small machines only.

resource "google_compute_network" "tests" {
  count = var.test_zone == null ? 0 : 1

  project                 = var.project
  name                    = "lkcloud-tests"
  description             = "Boot tests of lkcloud"
  auto_create_subnetworks = false

  depends_on = [google_project_service.needed]
}

resource "google_compute_subnetwork" "tests" {
  #checkov:skip=CKV_GCP_26:Nothing flows in it.
  #checkov:skip=CKV_GCP_74:A test machine has no service account, and needs none of Google's APIs.
  count = length(google_compute_network.tests)

  project       = var.project
  name          = "lkcloud-tests"
  region        = join("-", slice(split("-", var.test_zone), 0, 2))
  network       = google_compute_network.tests[count.index].id
  ip_cidr_range = var.test_range
}

resource "google_compute_firewall" "nothing_gets_out" {
  count = length(google_compute_network.tests)

  project            = var.project
  name               = "lkcloud-tests-nothing-gets-out"
  network            = google_compute_network.tests[count.index].id
  direction          = "EGRESS"
  priority           = 1000
  destination_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }
}

# https://cloud.google.com/compute/docs/access/custom-constraints
resource "google_org_policy_custom_constraint" "small" {
  count = var.organization == null ? 0 : 1

  parent         = "organizations/${var.organization}"
  name           = "custom.lkcloudSmallMachines"
  display_name   = "Small machines only"
  description    = "Machines have one of the types that boot tests of lkcloud need"
  action_type    = "ALLOW"
  method_types   = ["CREATE", "UPDATE"]
  resource_types = ["compute.googleapis.com/Instance"]
  condition      = join(" || ", [for one in sort(var.machine_types) : "resource.machineType.endsWith('machineTypes/${one}')"])
}

resource "google_org_policy_policy" "small" {
  count = length(google_org_policy_custom_constraint.small)

  parent = "projects/${var.project}"
  name   = "projects/${var.project}/policies/${google_org_policy_custom_constraint.small[count.index].name}"

  spec {
    rules {
      enforce = "TRUE"
    }
  }

  depends_on = [google_project_service.needed]
}
