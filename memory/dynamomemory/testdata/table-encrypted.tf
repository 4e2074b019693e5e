resource "aws_dynamodb_table" "conversations" {
  name                        = "conversations"
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = true

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

  lifecycle {
    prevent_destroy = true
  }
}
