# NOT APPLIED: formatted, read, never run. The tested template is ../cloudformation.yaml; this says the same.

variable "db_family" { default = "postgres17" }
variable "eks_cluster" {}
variable "namespace" { default = "cdc" }
variable "service_account" { default = "tributary" }

resource "aws_db_parameter_group" "tributary" {
  name_prefix = "tributary-"
  family      = var.db_family

  dynamic "parameter" {
    for_each = {
      "rds.logical_replication" = "1"
      "max_slot_wal_keep_size"  = "51200"
      "max_replication_slots"   = "20"
      "max_wal_senders"         = "20"
      "wal_sender_timeout"      = "30000"
      "rds.force_ssl"           = "1"
    }
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }
}

resource "aws_iam_role" "tributary" {
  name_prefix        = "tributary-"
  assume_role_policy = file("${path.module}/../iam/trust-pod-identity.json")
}

resource "aws_iam_role_policy" "msk" {
  role   = aws_iam_role.tributary.id
  policy = file("${path.module}/../iam/msk.json")
}

resource "aws_eks_pod_identity_association" "tributary" {
  cluster_name    = var.eks_cluster
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.tributary.arn
}
