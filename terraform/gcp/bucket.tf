# The bucket that tarballs are in until Compute Engine has imported them.

resource "google_storage_bucket" "disks" {
  #checkov:skip=CKV_GCP_62:What is in it is there for the time of an import. Data access logs tell who reads it, where that is wanted.
  #checkov:skip=CKV_GCP_78:Versions would keep, and charge for, what a push has removed.
  project                     = var.project
  name                        = coalesce(var.bucket, "${var.project}-lkcloud-disks")
  location                    = var.location
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  labels                      = var.labels

  # Parts are removed within the hour, and would else be kept, and paid for, another week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }

    condition {
      age            = var.leftover_days
      matches_prefix = [var.object_prefix]
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }

    condition {
      age = var.leftover_days
    }
  }

  dynamic "encryption" {
    for_each = google_kms_crypto_key.images[*].id

    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.needed, google_kms_crypto_key_iam_member.agents]
}
