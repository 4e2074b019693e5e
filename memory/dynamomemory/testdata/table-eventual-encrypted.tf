resource "aws_dynamodb_table" "conversations" {
  name             = "conversations"
  billing_mode     = "PAY_PER_REQUEST"
  hash_key         = "pk"
  range_key        = "sk"
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  attribute {
    name = "ik"
    type = "S"
  }

  attribute {
    name = "ir"
    type = "S"
  }

  attribute {
    name = "sen"
    type = "N"
  }

  global_secondary_index {
    name            = "byIntent"
    hash_key        = "ik"
    range_key       = "ir"
    projection_type = "ALL"
  }

  local_secondary_index {
    name            = "bySentiment"
    range_key       = "sen"
    projection_type = "ALL"
  }

  ttl {
    attribute_name = "exp"
    enabled        = true
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
  }

  replica {
    region_name            = "eu-west-1"
    kms_key_arn            = "arn:aws:kms:eu-west-1:123456789012:key/11111111-2222-3333-4444-555555555555"
    point_in_time_recovery = true
  }

  lifecycle {
    prevent_destroy = true
  }
}
