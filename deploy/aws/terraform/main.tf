# NOT APPLIED: formatted, read, never planned or run. What cfn-lint has checked is ../cloudformation.yaml: this has the same
# resources with the same settings, which a test compares, and takes its policies from ../iam. Attach the parameter group to
# the instance and reboot it; nothing here does that.

variable "db_family" { default = "postgres17" }
variable "db_instance" {}
# "db-...", for source.auth: rds_iam; empty for none.
variable "db_resource_id" { default = "" }
variable "source_role" { default = "cdc" }
variable "max_slot_wal_keep_mb" { default = 51200 }
variable "msk_cluster" {}
# topic.prefix; pipeline and slot follow from it.
variable "topic_prefix" { default = "shop" }
variable "slot" { default = "tributary_shop" }
variable "eks_cluster" {}
variable "namespace" { default = "cdc" }
variable "service_account" { default = "tributary" }
# Of the password, for secretsmanager:; empty for none.
variable "secret_arn" { default = "" }
variable "free_storage_bytes" { default = 21474836480 }
variable "slot_lag_bytes" { default = 10737418240 }
# SNS; empty for alarms that tell nobody.
variable "alarm_topic_arn" { default = "" }

data "aws_partition" "current" {}
data "aws_region" "current" {}
data "aws_caller_identity" "current" {}

locals {
  partition = data.aws_partition.current.partition
  place     = "${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}"
  alarms    = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]

  # The examples of ../iam with the names that are meant.
  policies = {
    for name in ["msk", "rds-login", "secret"] : name => replace(replace(replace(replace(replace(replace(
      file("${path.module}/../iam/${name}.json"),
      "arn:aws:secretsmanager:us-east-1:111122223333:secret:cdc-??????", var.secret_arn),
      "arn:aws:", "arn:${local.partition}:"),
      "us-east-1:111122223333", local.place),
      "/cdc/*", "/${var.msk_cluster}/*"),
      "/*/shop.*", "/*/${var.topic_prefix}.*"),
    "db-EXAMPLE/cdc", "${var.db_resource_id}/${var.source_role}")
  }
}

resource "aws_db_parameter_group" "tributary" {
  name_prefix = "tributary-"
  description = "Logical replication for tributary"
  family      = var.db_family

  dynamic "parameter" {
    for_each = merge({
      "rds.logical_replication" = "1"
      "max_slot_wal_keep_size"  = tostring(var.max_slot_wal_keep_mb)
      "max_replication_slots"   = "20"
      "max_wal_senders"         = "20"
      "wal_sender_timeout"      = "30000"
      "rds.force_ssl"           = "1"
    }, var.db_resource_id == "" ? {} : { "rds.iam_auth_for_replication" = "1" })
    content {
      name         = parameter.key
      value        = parameter.value
      apply_method = "pending-reboot"
    }
  }
}

resource "aws_msk_configuration" "tributary" {
  name              = "${var.topic_prefix}-tributary"
  description       = "Nothing that tributary needs; what a change log wants"
  server_properties = <<-EOT
    auto.create.topics.enable=false
    default.replication.factor=3
    min.insync.replicas=2
    transaction.max.timeout.ms=900000
    unclean.leader.election.enable=false
  EOT
}

resource "aws_iam_role" "tributary" {
  name_prefix        = "tributary-"
  description        = "tributary's own; it may write its topics and nothing else"
  assume_role_policy = file("${path.module}/../iam/trust-pod-identity.json")
}

resource "aws_iam_role_policy" "msk" {
  name   = "msk"
  role   = aws_iam_role.tributary.id
  policy = local.policies["msk"]
}

resource "aws_iam_role_policy" "secret" {
  count  = var.secret_arn == "" ? 0 : 1
  name   = "secret"
  role   = aws_iam_role.tributary.id
  policy = local.policies["secret"]
}

resource "aws_iam_role_policy" "login" {
  count  = var.db_resource_id == "" ? 0 : 1
  name   = "login"
  role   = aws_iam_role.tributary.id
  policy = local.policies["rds-login"]
}

resource "aws_eks_pod_identity_association" "tributary" {
  cluster_name    = var.eks_cluster
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.tributary.arn
}

resource "aws_cloudwatch_metric_alarm" "slot_lag" {
  alarm_name          = "tributary-${var.slot}-slot-lag"
  alarm_description   = "The oldest replication slot is far behind: is ${var.slot} being read?"
  namespace           = "AWS/RDS"
  metric_name         = "OldestReplicationSlotLag"
  dimensions          = { DBInstanceIdentifier = var.db_instance }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  threshold           = var.slot_lag_bytes
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarms
}

resource "aws_cloudwatch_metric_alarm" "free_storage" {
  alarm_name          = "tributary-${var.slot}-free-storage"
  alarm_description   = "The source's disk is filling up; a slot that nobody reads is the first suspect"
  namespace           = "AWS/RDS"
  metric_name         = "FreeStorageSpace"
  dimensions          = { DBInstanceIdentifier = var.db_instance }
  statistic           = "Minimum"
  period              = 300
  evaluation_periods  = 2
  threshold           = var.free_storage_bytes
  comparison_operator = "LessThanThreshold"
  treat_missing_data  = "breaching"
  alarm_actions       = local.alarms
}

output "role_arn" { value = aws_iam_role.tributary.arn }
output "parameter_group_name" { value = aws_db_parameter_group.tributary.name }
output "msk_configuration_arn" { value = aws_msk_configuration.tributary.arn }
