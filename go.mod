module github.com/genaistore/genaistore

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.47.7
	github.com/aws/aws-sdk-go-v2/service/dynamodb v1.73.1
	github.com/aws/aws-sdk-go-v2/service/s3 v1.114.8
	github.com/aws/aws-sdk-go-v2/service/s3vectors v1.7.2
	github.com/stretchr/testify v1.12.1
	golang.org/x/sync v0.24.0
)
