// Command lambda is a Lambda function that answers, and remembers the conversation on
// DynamoDB with what its user wants and feels.
//
//	GOOS=linux GOARCH=arm64 go build -tags lambda.norpc -trimpath -ldflags '-s -w' -o bootstrap ./lambda
//
// Its event is {"key": {"user": "ada", "session": "s1", ...}, "text": "hello"}. The
// environment names the table (TABLE), the tenant that is served (TENANT, which may be
// empty), a model of Bedrock (MODEL_ID) and, if there is one, the endpoint of a custom
// classifier of Comprehend that finds intents (CLASSIFIER). template.json deploys it
// with the table and a role that can do no more than it must, and with a DAX cluster in a
// VPC where that is wanted.
//
// Built with -tags dax it reads through the cluster DAX_ENDPOINT, and encrypts under KMS_KEY.
//
// Clients and stores are made once, before the first event, and that asks nothing of
// anyone; then one connection to each service is opened, while the function still has
// the processor of the INIT phase. WARM=0 leaves that out.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	comprehendsdk "github.com/aws/aws-sdk-go-v2/service/comprehend"
	comprehendtypes "github.com/aws/aws-sdk-go-v2/service/comprehend/types"
	"golang.org/x/sync/errgroup"

	"github.com/genaistore/genaistore/examples/internal/converse"
	"github.com/genaistore/genaistore/examples/internal/function"
	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/comprehend"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "lambda:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	service, err := open(ctx)
	if err != nil {
		return err
	}
	if os.Getenv("WARM") != "0" {
		service.warm(ctx)
	}
	function.Start(function.LambdaLimit, service.Ask)
	return nil
}

// warmTime is what is left of the ten seconds of INIT, with room for the rest.
const warmTime = 5 * time.Second

// A service is a Handler and what it stands on.
type service struct {
	Handler
	table  *dynamomemory.Store
	texts  *comprehendsdk.Client
	models *converse.Model
}

func open(ctx context.Context) (*service, error) {
	cfg, err := function.Config(ctx)
	if err != nil {
		return nil, err
	}
	return newService(cfg, os.Getenv)
}

func newService(cfg aws.Config, env func(string) string) (*service, error) {
	if env("MODEL_ID") == "" {
		return nil, errors.New("MODEL_ID is not set")
	}
	store, err := function.Table(cfg, env)
	if err != nil {
		return nil, err
	}
	texts := comprehendsdk.NewFromConfig(cfg)
	enricher, err := comprehend.New(texts, &comprehend.Options{Classifier: env("CLASSIFIER")})
	if err != nil {
		return nil, err
	}
	model := converse.New(bedrockruntime.NewFromConfig(cfg), env("MODEL_ID"))
	return &service{
		Handler: Handler{
			Tenant: env("TENANT"), Store: store, Enricher: enricher, Model: model.Reply,
			Log: slog.New(slog.NewJSONHandler(os.Stderr, nil)),
		},
		table: store, texts: texts, models: model,
	}, nil
}

// warm opens the connections that the first event would wait for, at once. Where that
// fails, events say so themselves.
func (s *service) warm(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, warmTime)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(3)
	g.Go(func() error { return s.table.Warm(ctx, memory.Key{Tenant: s.Tenant}) })
	g.Go(func() error { return s.models.Warm(ctx) })
	g.Go(func() error {
		_, err := s.texts.BatchDetectDominantLanguage(ctx, &comprehendsdk.BatchDetectDominantLanguageInput{TextList: []string{}},
			func(o *comprehendsdk.Options) { o.Retryer = aws.NopRetryer{} })
		if _, refused := errors.AsType[*comprehendtypes.InvalidRequestException](err); refused {
			return nil // which costs nothing
		}
		return err
	})
	if err := g.Wait(); err != nil {
		s.Log.WarnContext(ctx, "not warm", "error", err)
	}
}
