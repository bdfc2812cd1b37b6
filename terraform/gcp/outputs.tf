locals {
  options = {
    for name, value in {
      project        = var.project
      bucket         = google_storage_bucket.disks.name
      object_prefix  = var.object_prefix
      kms_key        = one(google_kms_crypto_key.images[*].id)
      object_kms_key = one(google_kms_crypto_key.images[*].id)
      zone           = var.test_zone
      subnetwork     = one(google_compute_subnetwork.tests[*].name)
    } : name => value if value != null
  }
}

output "options" {
  description = "Options of a target in release.yaml; of those that have nothing here there are none."
  value       = local.options
}

output "target" {
  description = "A target for release.yaml, as YAML."
  value       = yamlencode({ cloud = "gcp", options = local.options })
}

output "service_accounts" {
  description = "E-mail addresses of the publishers' service accounts by name: `service_account` of docs/ci.md."
  value       = { for name, account in google_service_account.publisher : name => account.email }
}

output "workload_identity_providers" {
  description = "Names of the providers, by `github` and `gitlab`: `workload_identity_provider` of docs/ci.md."
  value       = { for issuer, provider in google_iam_workload_identity_pool_provider.publishers : issuer => provider.name }
}
