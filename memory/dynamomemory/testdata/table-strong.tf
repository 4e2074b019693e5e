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

  global_secondary_index {
    name            = "byIntent"
    hash_key        = "ik"
    range_key       = "ir"
    projection_type = "ALL"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled = true
  }

  replica {
    region_name            = "us-east-2"
    consistency_mode       = "STRONG"
    point_in_time_recovery = true
  }

  replica {
    region_name            = "us-west-2"
    consistency_mode       = "STRONG"
    point_in_time_recovery = true
  }

  lifecycle {
    prevent_destroy = true
  }
}
