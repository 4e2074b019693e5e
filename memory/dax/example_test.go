package dax_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/internal/awsfake"
	"github.com/genaistore/genaistore/memory/dax"
)

func Example() {
	ctx := context.Background()
	table := awsfake.NewDynamoDB().Client() // dynamodb.NewFromConfig(cfg)
	client, err := dax.New(table, &dax.Options{
		Endpoint:    "dax://127.0.0.1:1", // no cluster is there
		Region:      "eu-central-1",
		Credentials: aws.CredentialsProviderFunc(credentials), // cfg.Credentials
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: new("memory"), Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "a"},
	}})
	_, noTable := errors.AsType[*types.ResourceNotFoundException](err)
	fmt.Println("the table has answered:", noTable)
	// Output:
	// the table has answered: true
}
