# The key that images, and what is in the bucket, are encrypted with.

resource "aws_kms_key" "images" {
  count = var.encrypted ? 1 : 0

  description             = "Images of lkcloud"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = var.tags

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # Without this nobody could ever change the key again; it lets IAM policies decide, and gives nobody anything.
          Sid       = "Account"
          Effect    = "Allow"
          Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
          Action    = "kms:*"
          Resource  = "*"
        },
      ],
      # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/share-amis-with-encrypted-snapshots: for who starts machines.
      [
        for accounts in [sort(var.key_users)] : {
          Sid       = "Users"
          Effect    = "Allow"
          Principal = { AWS = [for one in accounts : "arn:${local.partition}:iam::${one}:root"] }
          Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:ReEncrypt*"]
          Resource  = "*"
        } if length(accounts) > 0
      ],
      [
        for accounts in [sort(var.key_users)] : {
          Sid       = "UsersServices"
          Effect    = "Allow"
          Principal = { AWS = [for one in accounts : "arn:${local.partition}:iam::${one}:root"] }
          Action    = "kms:CreateGrant"
          Resource  = "*"
          Condition = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
        } if length(accounts) > 0
      ],
    )
  })
}

resource "aws_kms_alias" "images" {
  count = length(aws_kms_key.images)

  name          = "alias/lkcloud-images"
  target_key_id = aws_kms_key.images[count.index].key_id
}
