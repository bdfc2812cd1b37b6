# The bucket of `--method import`, and the role by which VM Import reads it.

resource "aws_s3_bucket" "disks" {
  #checkov:skip=CKV_AWS_18:What is in it is there for the time of an import. CloudTrail data events tell who reads it, where that is wanted.
  #checkov:skip=CKV_AWS_21:Versions would keep, and charge for, what a push has removed.
  #checkov:skip=CKV_AWS_144:What is in it is there for the time of an import, and is sent again if it is lost.
  #checkov:skip=CKV_AWS_145:With `encrypted` it is by the key that is made here, else by S3's own: VM Import needs the key as well.
  #checkov:skip=CKV2_AWS_62:Nobody waits for its events.
  count = var.bucket == null ? 0 : 1

  bucket = var.bucket
  tags   = var.tags
}

resource "aws_s3_bucket_public_access_block" "disks" {
  count = length(aws_s3_bucket.disks)

  bucket                  = aws_s3_bucket.disks[count.index].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "disks" {
  count = length(aws_s3_bucket.disks)

  bucket = aws_s3_bucket.disks[count.index].id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "disks" {
  count = length(aws_s3_bucket.disks)

  bucket = aws_s3_bucket.disks[count.index].id

  rule {
    bucket_key_enabled = var.encrypted

    apply_server_side_encryption_by_default {
      sse_algorithm     = var.encrypted ? "aws:kms" : "AES256"
      kms_master_key_id = one(aws_kms_key.images[*].arn)
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "disks" {
  count = length(aws_s3_bucket.disks)

  bucket = aws_s3_bucket.disks[count.index].id

  rule {
    id     = "leftovers"
    status = "Enabled"

    filter {
      prefix = var.key_prefix
    }

    expiration {
      days = var.leftover_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = var.leftover_days
    }
  }
}

resource "aws_s3_bucket_policy" "disks" {
  count = length(aws_s3_bucket.disks)

  bucket = aws_s3_bucket.disks[count.index].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EncryptedConnectionsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.disks[count.index].arn, "${aws_s3_bucket.disks[count.index].arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.disks]
}

resource "aws_iam_role" "import" {
  count = var.bucket == null ? 0 : 1

  name        = var.import_role
  description = "Lets VM Import read disks of lkcloud"
  tags        = var.tags

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { Service = "vmie.amazonaws.com" }
        Action    = "sts:AssumeRole"
        Condition = { StringEquals = { "sts:Externalid" = "vmimport" } }
      },
    ]
  })
}

resource "aws_iam_role_policy" "import" {
  count = length(aws_iam_role.import)

  name   = "lkcloud"
  role   = aws_iam_role.import[count.index].name
  policy = local.policies["import role"]
}
