# Service accounts for those who use lkcloud, and what each may do. The permissions come from permissions.json, which is
# written from lkcloud's own list (lkcloud_gcp.permissions).

locals {
  list = jsondecode(file("${path.module}/permissions.json"))

  # By publisher and by where a role is given: what it needs there.
  roles = merge([
    for name, publisher in var.publishers : {
      for on in ["project", "bucket", "source"] : "${name} ${on}" => {
        publisher = name
        on        = on
        permissions = sort(distinct([
          for one in local.list.permissions : one.action
          if one.on == on && length(setintersection(concat(one.uses, one.helps), publisher.uses)) > 0
        ]))
      }
    }
  ]...)

  given = { for key, role in local.roles : key => role if length(role.permissions) > 0 }

  readers = merge([
    for key, role in local.given : {
      for bucket in var.disk_buckets : "${key} ${bucket}" => { role = key, publisher = role.publisher, bucket = bucket }
    } if role.on == "source"
  ]...)
}

resource "google_service_account" "publisher" {
  for_each = var.publishers

  project      = var.project
  account_id   = each.key
  display_name = "lkcloud ${each.key}"
  description  = "lkcloud: ${join(", ", sort(each.value.uses))}"

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_custom_role" "publisher" {
  for_each = local.given

  project     = var.project
  role_id     = "lkcloud_${replace(each.value.publisher, "-", "_")}_${each.value.on}"
  title       = "lkcloud ${each.value.publisher}, on the ${each.value.on == "source" ? "buckets of disks" : each.value.on}"
  description = "What lkcloud needs for ${join(", ", sort(var.publishers[each.value.publisher].uses))}"
  permissions = each.value.permissions

  depends_on = [google_project_service.needed]
}

resource "google_project_iam_member" "publisher" {
  for_each = { for key, role in local.given : key => role if role.on == "project" }

  project = var.project
  role    = google_project_iam_custom_role.publisher[each.key].name
  member  = google_service_account.publisher[each.value.publisher].member
}

resource "google_storage_bucket_iam_member" "publisher" {
  for_each = { for key, role in local.given : key => role if role.on == "bucket" }

  bucket = google_storage_bucket.disks.name
  role   = google_project_iam_custom_role.publisher[each.key].name
  member = google_service_account.publisher[each.value.publisher].member
}

resource "google_storage_bucket_iam_member" "reader" {
  for_each = local.readers

  bucket = each.value.bucket
  role   = google_project_iam_custom_role.publisher[each.value.role].name
  member = google_service_account.publisher[each.value.publisher].member
}

resource "google_service_account_iam_member" "principals" {
  for_each = merge([
    for name, publisher in var.publishers : {
      for member in publisher.principals : "${name} ${member}" => { publisher = name, member = member }
    }
  ]...)

  service_account_id = google_service_account.publisher[each.value.publisher].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = each.value.member
}
