locals {
  options = {
    for name, value in {
      region     = data.aws_region.here.region
      bucket     = one(aws_s3_bucket.disks[*].bucket)
      key_prefix = var.bucket == null ? null : var.key_prefix
      role       = one(aws_iam_role.import[*].name)
      encrypted  = var.encrypted ? true : null
      kms_key    = one(aws_kms_key.images[*].arn)
    } : name => value if value != null
  }
}

output "options" {
  description = "Options of a target in release.yaml; of those that have nothing here there are none."
  value       = local.options
}

output "target" {
  description = "A target for release.yaml, as YAML."
  value       = yamlencode({ cloud = "aws", options = local.options })
}

output "roles" {
  description = "ARNs of the publishers' roles by name: `role-to-assume` and `AWS_ROLE_ARN` of docs/ci.md."
  value       = { for name, role in aws_iam_role.publisher : name => role.arn }
}

output "policies" {
  description = "What each publisher is allowed, by name, as IAM's documents."
  value       = { for name in keys(var.publishers) : name => local.policies[name] }
}
