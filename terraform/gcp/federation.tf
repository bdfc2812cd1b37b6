# Jobs of GitHub Actions and GitLab CI act as a publisher by their OIDC tokens. The pool maps each token to an attribute
# for each publisher, `yes` if its subject is one of those that the publisher names: that lets a subject have `*`.

locals {
  issuers = {
    github = "https://token.actions.githubusercontent.com"
    gitlab = var.gitlab_url
  }

  # By issuer and publisher: a regular expression of its subjects.
  subjects = {
    for issuer, url in local.issuers : issuer => {
      for name, publisher in var.publishers : name => join("|", [
        for subject in sort(issuer == "github" ? publisher.github : publisher.gitlab) :
        replace(replace(subject, ".", "[.]"), "*", ".*")
      ]) if length(issuer == "github" ? publisher.github : publisher.gitlab) > 0
    }
  }

  federated  = length(flatten([for publishers in values(local.subjects) : keys(publishers)])) > 0
  attributes = { for name in keys(var.publishers) : name => "is_${replace(name, "-", "_")}" }
}

resource "google_iam_workload_identity_pool" "publishers" {
  count = local.federated ? 1 : 0

  project                   = var.project
  workload_identity_pool_id = var.pool
  display_name              = "lkcloud"
  description               = "Jobs that use lkcloud"

  depends_on = [google_project_service.needed]
}

resource "google_iam_workload_identity_pool_provider" "publishers" {
  for_each = { for issuer, publishers in local.subjects : issuer => publishers if length(publishers) > 0 }

  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.publishers[0].workload_identity_pool_id
  workload_identity_pool_provider_id = each.key
  display_name                       = each.key

  attribute_mapping = merge(
    { "google.subject" = "assertion.sub" },
    {
      for name, expression in each.value :
      "attribute.${local.attributes[name]}" => "assertion.sub.matches(\"^(${expression})$\") ? \"yes\" : \"no\""
    },
  )

  # A token that is nobody's is not let in at all.
  attribute_condition = join(" || ", [for name in keys(each.value) : "attribute.${local.attributes[name]} == \"yes\""])

  oidc {
    issuer_uri        = local.issuers[each.key]
    allowed_audiences = each.key == "gitlab" ? [var.gitlab_url] : null
  }
}

resource "google_service_account_iam_member" "federated" {
  for_each = toset(flatten([for publishers in values(local.subjects) : keys(publishers)]))

  service_account_id = google_service_account.publisher[each.key].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://iam.googleapis.com/${google_iam_workload_identity_pool.publishers[0].name}/attribute.${local.attributes[each.key]}/yes"
}
