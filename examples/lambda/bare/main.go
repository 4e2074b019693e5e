// Command bare does what the function beside it does with the clients of AWS alone: it
// is what that is measured against. It has no request ids, windows by tokens,
// encodings, limits or checks.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	models "github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/comprehend"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"golang.org/x/sync/errgroup"
)

type request struct {
	Key  struct{ Tenant, App, User, Session string } `json:"key"`
	Text string                                      `json:"text"`
}

type answer struct {
	Text      string  `json:"text"`
	Intent    string  `json:"intent,omitempty"`
	Sentiment float32 `json:"sentiment,omitempty"`
}

type handler struct {
	tables                   *dynamodb.Client
	texts                    *comprehend.Client
	models                   *bedrockruntime.Client
	table, model, classifier string
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	given := aws.Credentials{
		AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY"), SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
	}
	cfg := aws.Config{
		Region:      os.Getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return given, nil }),
	}
	if endpoint := os.Getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	h := &handler{
		dynamodb.NewFromConfig(cfg), comprehend.NewFromConfig(cfg), bedrockruntime.NewFromConfig(cfg),
		os.Getenv("TABLE"), os.Getenv("MODEL_ID"), os.Getenv("CLASSIFIER"),
	}
	if err := h.warm(context.Background()); err != nil {
		log.Warn("not warm", "error", err)
	}
	lambda.Start(h.ask)
}

func (h *handler) warm(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(3)
	g.Go(func() error {
		_, err := h.tables.GetItem(ctx, &dynamodb.GetItemInput{TableName: &h.table, Key: item("warm", "warm")})
		return err
	})
	g.Go(func() error { _, err := h.converse(ctx, nil); return err })
	g.Go(func() error { _, err := h.language(ctx, ""); return err })
	return g.Wait()
}

func (h *handler) ask(ctx context.Context, in request) (answer, error) {
	lc, ok := lambdacontext.FromContext(ctx)
	if !ok {
		return answer{}, errors.New("no Lambda context")
	}
	pk := in.Key.Tenant + "/" + in.Key.App + "/" + in.Key.User + "/" + in.Key.Session
	sk := time.Now().UTC().Format(time.RFC3339Nano) + lc.AwsRequestID
	if err := h.put(ctx, pk, sk+"/user", in.Text); err != nil {
		return answer{}, err
	}
	turns, err := h.window(ctx, pk)
	if err != nil {
		return answer{}, err
	}
	out := answer{}
	if out.Intent, out.Sentiment, err = h.annotate(ctx, pk, sk, in.Text); err != nil {
		return answer{}, err
	}
	if out.Text, err = h.converse(ctx, turns); err != nil {
		return answer{}, err
	}
	if err := h.put(ctx, pk, sk+"/model", out.Text); err != nil {
		return answer{}, err
	}
	_, err = h.tables.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &h.table, Key: item(pk, "state"), UpdateExpression: new("SET intent = :i ADD turns :one"),
		ExpressionAttributeValues: map[string]types.AttributeValue{
			":i": &types.AttributeValueMemberS{Value: out.Intent}, ":one": &types.AttributeValueMemberN{Value: "1"},
		},
	})
	return out, err
}

func item(pk, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk}}
}

func (h *handler) put(ctx context.Context, pk, sk, text string) error {
	one := item(pk, sk)
	one["text"] = &types.AttributeValueMemberS{Value: text}
	_, err := h.tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: &h.table, Item: one, ConditionExpression: new("attribute_not_exists(pk)")})
	return err
}

func (h *handler) window(ctx context.Context, pk string) ([]models.Message, error) {
	page, err := h.tables.Query(ctx, &dynamodb.QueryInput{
		TableName: &h.table, KeyConditionExpression: new("pk = :p"), ConsistentRead: new(true),
		ExpressionAttributeValues: map[string]types.AttributeValue{":p": &types.AttributeValueMemberS{Value: pk}},
		ScanIndexForward:          new(false), Limit: new(int32(21)),
	})
	if err != nil {
		return nil, err
	}
	var turns []models.Message
	for _, one := range slices.Backward(page.Items) {
		if text, ok := one["text"].(*types.AttributeValueMemberS); ok {
			role := []models.ConversationRole{models.ConversationRoleUser, models.ConversationRoleAssistant}[len(turns)%2]
			turns = append(turns, models.Message{Role: role, Content: []models.ContentBlock{&models.ContentBlockMemberText{Value: text.Value}}})
		}
	}
	return turns, nil
}

func (h *handler) language(ctx context.Context, text string) (string, error) {
	found, err := h.texts.BatchDetectDominantLanguage(ctx, &comprehend.BatchDetectDominantLanguageInput{TextList: []string{text}})
	if err != nil {
		return "", err
	}
	if len(found.ResultList) == 0 || len(found.ResultList[0].Languages) == 0 {
		return "", errors.New("no language")
	}
	return *found.ResultList[0].Languages[0].LanguageCode, nil
}

func (h *handler) annotate(ctx context.Context, pk, sk, text string) (intent string, sentiment float32, err error) {
	language, err := h.language(ctx, text)
	if err != nil {
		return "", 0, err
	}
	felt, err := h.texts.DetectSentiment(ctx, &comprehend.DetectSentimentInput{Text: &text, LanguageCode: "en"})
	if err != nil {
		return "", 0, fmt.Errorf("in %s: %w", language, err)
	}
	sentiment = *felt.SentimentScore.Positive - *felt.SentimentScore.Negative
	if h.classifier != "" {
		classes, err := h.texts.ClassifyDocument(ctx, &comprehend.ClassifyDocumentInput{Text: &text, EndpointArn: &h.classifier})
		if err != nil {
			return "", 0, err
		}
		intent = *classes.Classes[0].Name
	}
	notes := item(pk, sk+"/notes")
	notes["intent"] = &types.AttributeValueMemberS{Value: intent}
	notes["sentiment"] = &types.AttributeValueMemberN{Value: fmt.Sprint(sentiment)}
	_, err = h.tables.PutItem(ctx, &dynamodb.PutItemInput{TableName: &h.table, Item: notes})
	return intent, sentiment, err
}

func (h *handler) converse(ctx context.Context, turns []models.Message) (string, error) {
	out, err := h.models.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: &h.model, Messages: turns})
	if err != nil {
		return "", err
	}
	said, ok := out.Output.(*models.ConverseOutputMemberMessage)
	if !ok {
		return "", errors.New("no message")
	}
	for _, block := range said.Value.Content {
		if text, ok := block.(*models.ContentBlockMemberText); ok {
			return text.Value, nil
		}
	}
	return "", errors.New("no text")
}
