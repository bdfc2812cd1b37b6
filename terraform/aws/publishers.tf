# Roles for those who use lkcloud, and whom they trust: jobs of GitHub Actions and GitLab CI by their OIDC tokens, and
# whoever is named.

locals {
  github = length(flatten([for one in var.publishers : tolist(one.github)])) > 0
  gitlab = length(flatten([for one in var.publishers : tolist(one.gitlab)])) > 0

  gitlab_host = trimprefix(var.gitlab_url, "https://")
  github_arn  = var.github_provider_arn != null ? var.github_provider_arn : one(aws_iam_openid_connect_provider.github[*].arn)
  gitlab_arn  = var.gitlab_provider_arn != null ? var.gitlab_provider_arn : one(aws_iam_openid_connect_provider.gitlab[*].arn)

  trust = {
    for name, publisher in var.publishers : name => jsonencode({
      Version = "2012-10-17"
      Statement = concat(
        [
          for subjects in [sort(publisher.github)] : {
            Effect    = "Allow"
            Principal = { Federated = local.github_arn }
            Action    = "sts:AssumeRoleWithWebIdentity"
            Condition = {
              StringEquals = { "token.actions.githubusercontent.com:aud" = "sts.amazonaws.com" }
              StringLike   = { "token.actions.githubusercontent.com:sub" = subjects }
            }
          } if length(subjects) > 0
        ],
        [
          for subjects in [sort(publisher.gitlab)] : {
            Effect    = "Allow"
            Principal = { Federated = local.gitlab_arn }
            Action    = "sts:AssumeRoleWithWebIdentity"
            Condition = {
              StringEquals = { "${local.gitlab_host}:aud" = var.gitlab_url }
              StringLike   = { "${local.gitlab_host}:sub" = subjects }
            }
          } if length(subjects) > 0
        ],
        [
          for principals in [sort(publisher.principals)] : {
            Effect    = "Allow"
            Principal = { AWS = principals }
            Action    = "sts:AssumeRole"
          } if length(principals) > 0
        ],
      )
    })
  }
}

resource "aws_iam_openid_connect_provider" "github" {
  count = local.github && var.github_provider_arn == null ? 1 : 0

  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
  tags           = var.tags
}

resource "aws_iam_openid_connect_provider" "gitlab" {
  count = local.gitlab && var.gitlab_provider_arn == null ? 1 : 0

  url            = var.gitlab_url
  client_id_list = [var.gitlab_url]
  tags           = var.tags
}

resource "aws_iam_role" "publisher" {
  for_each = var.publishers

  name                 = each.key
  description          = "lkcloud: ${join(", ", sort(each.value.uses))}"
  assume_role_policy   = local.trust[each.key]
  max_session_duration = var.session_hours * 3600
  tags                 = var.tags
}

resource "aws_iam_role_policy" "publisher" {
  for_each = var.publishers

  name   = "lkcloud"
  role   = aws_iam_role.publisher[each.key].name
  policy = local.policies[each.key]
}

resource "aws_iam_role_policy" "boundary" {
  for_each = var.publishers

  name   = "lkcloud-boundary"
  role   = aws_iam_role.publisher[each.key].name
  policy = local.boundary
}
