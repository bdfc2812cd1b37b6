# The key that images, and what is in the bucket, are encrypted with; Google's own service agents use it.

locals {
  key_location = lookup({ EU = "europe", US = "us", ASIA = "asia" }, upper(var.location), lower(var.location))

  agents = {
    compute = "serviceAccount:service-${data.google_project.here.number}@compute-system.iam.gserviceaccount.com"
    storage = "serviceAccount:service-${data.google_project.here.number}@gs-project-accounts.iam.gserviceaccount.com"
  }
}

resource "google_kms_key_ring" "images" {
  count = var.encrypted ? 1 : 0

  project  = var.project
  name     = "lkcloud"
  location = local.key_location

  depends_on = [google_project_service.needed]
}

resource "google_kms_crypto_key" "images" {
  count = length(google_kms_key_ring.images)

  name            = "images"
  key_ring        = google_kms_key_ring.images[count.index].id
  rotation_period = "7776000s"
  labels          = var.labels

  # Without it no image that it encrypts can be used again.
  lifecycle {
    prevent_destroy = true
  }
}

resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = var.encrypted ? local.agents : {}

  crypto_key_id = google_kms_crypto_key.images[0].id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
