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

  replica {
    region_name      = "eu-central-1"
    consistency_mode = "STRONG"
  }

  global_table_witness {
    region_name = "eu-west-3"
  }

  lifecycle {
    prevent_destroy = true
  }
}
