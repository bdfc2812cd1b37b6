# What each publisher may do. The actions come from permissions.json, which is written from lkcloud's own list
# (lkcloud_aws.permissions); what they can be narrowed to is said here, and compared with lkcloud's by its tests.

data "aws_caller_identity" "here" {}

data "aws_partition" "here" {}

data "aws_region" "here" {}

locals {
  account   = data.aws_caller_identity.here.account_id
  partition = data.aws_partition.here.partition
  list      = jsondecode(file("${path.module}/permissions.json"))
  ec2       = "arn:${local.partition}:ec2:*"

  # An ARN that is null is one of something that is not there.
  places = {
    "any"                = ["*"]
    "image"              = ["${local.ec2}::image/*"]
    "snapshot"           = ["${local.ec2}::snapshot/*"]
    "image and snapshot" = ["${local.ec2}::image/*", "${local.ec2}::snapshot/*"]
    "instance"           = ["${local.ec2}:${local.account}:instance/*"]
    "launch" = [
      "${local.ec2}::image/*",
      "${local.ec2}::snapshot/*",
      "${local.ec2}:${local.account}:network-interface/*",
      "${local.ec2}:${local.account}:security-group/*",
      "${local.ec2}:${local.account}:subnet/*",
      "${local.ec2}:${local.account}:volume/*",
    ]
    "tagged at launch" = ["${local.ec2}:${local.account}:instance/*", "${local.ec2}:${local.account}:volume/*"]
    "import"           = ["${local.ec2}::snapshot/*", "${local.ec2}:${local.account}:import-snapshot-task/*"]
    "import task"      = ["${local.ec2}:${local.account}:import-snapshot-task/*"]
    "bucket"           = [for one in aws_s3_bucket.disks : one.arn]
    "object"           = [for one in aws_s3_bucket.disks : "${one.arn}/*"]
    "source"           = [for one in sort(var.disk_buckets) : "arn:${local.partition}:s3:::${one}/*"]
    "role"             = [for one in aws_iam_role.import : one.arn]
    "parameter" = [
      for one in sort(var.parameters) :
      "arn:${local.partition}:ssm:*:${local.account}:parameter/${trimprefix(one, "/")}"
    ]
    "quota" = [
      for one in ["ec2/L-0E3CBAB9", "ebs/L-309BACF6"] : "arn:${local.partition}:servicequotas:*:${local.account}:${one}"
    ]
    "key" = local.keys
  }

  conditions = {
    "own"        = { Null = { "aws:ResourceTag/lkcloud:digest" = "false" } }
    "small"      = { StringEquals = { "ec2:InstanceType" = local.instance_types } }
    "import"     = { StringEquals = { "iam:PassedToService" = "vmie.amazonaws.com" } }
    "grant"      = { Bool = { "kms:GrantIsForAWSResource" = "true" } }
    "references" = { "ForAnyValue:StringEquals" = { "aws:CalledVia" = "ec2-images.amazonaws.com" } }
  }

  keys           = concat([for one in aws_kms_key.images : one.arn], sort(var.kms_keys))
  instance_types = sort(coalesce(var.instance_types, local.list.instance_types))

  # By publisher, and `import` for the role of VM Import: what it needs, grouped by where and on which condition.
  wanted = merge(
    {
      for name, publisher in var.publishers : name => [
        for one in local.list.permissions : one
        if length(setintersection(concat(one.uses, one.helps), publisher.uses)) > 0
      ]
    },
    { "import role" = [for one in local.list.import_role : one if one.on != "key" || length(local.keys) > 0] },
  )

  grouped = {
    for name, permissions in local.wanted : name => {
      for one in permissions : "${one.on} ${one.condition}" => one...
      if length(local.places[one.on]) > 0
    }
  }

  policies = {
    for name, groups in local.grouped : name => jsonencode({
      Version = "2012-10-17"
      Statement = [
        for group in values(groups) : merge(
          {
            Effect   = "Allow"
            Action   = sort(distinct([for one in group : one.action]))
            Resource = local.places[group[0].on]
          },
          [for condition in [group[0].condition] : condition == "" ? {} : { Condition = local.conditions[condition] }]...
        )
      ]
    })
  }

  # What no other policy of the role can give: large machines, machines that can be reached, metadata without a token.
  boundary = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Deny"
        Action    = "ec2:RunInstances"
        Resource  = local.places["instance"]
        Condition = { StringNotEquals = { "ec2:InstanceType" = local.instance_types } }
      },
      {
        Effect    = "Deny"
        Action    = "ec2:RunInstances"
        Resource  = local.places["instance"]
        Condition = { StringNotEquals = { "ec2:MetadataHttpTokens" = "required" } }
      },
      {
        Effect    = "Deny"
        Action    = "ec2:RunInstances"
        Resource  = ["${local.ec2}:${local.account}:network-interface/*"]
        Condition = { Bool = { "ec2:AssociatePublicIpAddress" = "true" } }
      },
    ]
  })
}
