resource "aws_dynamodb_table" "conversations" {
  name                        = "conversations"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"

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

  replica {
    region_name                 = "eu-west-1"
    point_in_time_recovery      = true
    deletion_protection_enabled = true
  }

  lifecycle {
    prevent_destroy = true
  }
}
