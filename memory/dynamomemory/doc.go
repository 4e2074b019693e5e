// Package dynamomemory keeps the conversations of package memory in one Amazon
// DynamoDB table.
package dynamomemory
