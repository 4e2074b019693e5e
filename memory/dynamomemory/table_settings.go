package dynamomemory

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/genaistore/genaistore/internal/fault"
)

// ensureTTL turns expiry on, or notes how it differs.
func (e *ensurer) ensureTTL(ctx context.Context) error {
	if e.opts.NoTTL {
		return nil
	}
	want := "on, attribute " + e.opts.Schema.TTL
	have, err := e.ttl(ctx)
	if err != nil || have == want {
		return err
	}
	if have != off || e.readOnly {
		remedy := turnedOn
		if have != off {
			remedy = "turn it off, wait until that is done, and turn it on again for the right attribute"
		}
		e.drift("TTL", want, have, remedy)
		return nil
	}
	return e.turnOn(ctx, "TTL", func() error {
		_, err := e.client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
			TableName: &e.table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &e.opts.Schema.TTL, Enabled: new(true)},
		})
		if err == nil {
			return nil
		}
		// Another process may have been first. Then DynamoDB refuses, in words alone.
		if have, again := e.ttl(ctx); again == nil && have == want {
			return errRaced
		}
		return adminError("UpdateTimeToLive", err)
	})
}

const (
	off      = "off"
	turnedOn = "EnsureTable without CheckOnly turns it on, once the rest is right"
)

func (e *ensurer) ttl(ctx context.Context) (string, error) {
	out, err := e.client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &e.table})
	if err != nil {
		return "", adminError("DescribeTimeToLive", err)
	}
	d := out.TimeToLiveDescription
	switch {
	case d == nil || d.TimeToLiveStatus == types.TimeToLiveStatusDisabled || d.TimeToLiveStatus == "":
		return off, nil
	case d.TimeToLiveStatus == types.TimeToLiveStatusDisabling:
		return "being turned off", nil
	}
	return "on, attribute " + value(d.AttributeName), nil
}

// ensureRecovery turns point-in-time recovery on, or notes how it differs.
func (e *ensurer) ensureRecovery(ctx context.Context) error {
	if e.opts.NoRecovery {
		return nil
	}
	const field, on = "point-in-time recovery", "on"
	out, err := e.client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &e.table})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "UnknownOperationException" {
		e.report.Unchecked = append(e.report.Unchecked, field+": this server does not know DescribeContinuousBackups")
		return nil
	}
	if err != nil {
		return adminError("DescribeContinuousBackups", err)
	}
	if recoverable(out.ContinuousBackupsDescription) {
		return nil
	}
	if e.readOnly {
		e.drift(field, on, off, turnedOn)
		return nil
	}
	return e.turnOn(ctx, field, func() error {
		_, err := e.client.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
			TableName: &e.table, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: new(true)},
		})
		if err != nil {
			return adminError("UpdateContinuousBackups", err)
		}
		return nil
	})
}

func recoverable(d *types.ContinuousBackupsDescription) bool {
	return d != nil && d.PointInTimeRecoveryDescription != nil &&
		d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled
}

// errRaced reports a setting that another process has turned on meanwhile.
var errRaced = errors.New("another process was first")

// turnOn calls update until the table takes it: a new table refuses its settings
// for some seconds after it is active.
func (e *ensurer) turnOn(ctx context.Context, field string, update func() error) error {
	for delay := firstDelay; ; delay = min(2*delay, lastDelay) {
		err := update()
		if errors.Is(err, errRaced) {
			return nil
		}
		if err == nil {
			e.report.Enabled = append(e.report.Enabled, field)
			return nil
		}
		if !busy(err) {
			return err
		}
		e.state = field + " cannot be turned on yet"
		if err := sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// busy says whether the table is occupied with another change.
func busy(err error) bool {
	_, used := errors.AsType[*types.ResourceInUseException](err)
	_, unready := errors.AsType[*types.ContinuousBackupsUnavailableException](err)
	return used || unready
}

// adminError says what kind of error a call ended with. The text names the
// action, which is what a policy must allow.
func adminError(action string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("dynamodb:%s: %w", action, err)
	}
	kind := adminKind(err)
	if kind == nil {
		return fmt.Errorf("dynamodb:%s: %w", action, err)
	}
	return fmt.Errorf("dynamodb:%s: %w: %w", action, kind, err)
}

func adminKind(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return nil
	}
	switch api.ErrorCode() {
	case "AccessDeniedException", "AccessDenied", "UnrecognizedClientException", "ExpiredTokenException", "ExpiredToken",
		"InvalidSignatureException", "MissingAuthenticationTokenException", "IncompleteSignatureException", "NotAuthorized", "OptInRequired":
		return fault.Denied
	case "ResourceNotFoundException", "TableNotFoundException":
		return fault.NotFound
	case "ResourceInUseException", "ContinuousBackupsUnavailableException":
		return fault.Conflict
	case "ThrottlingException", "Throttling", "LimitExceededException", "RequestLimitExceeded", "ProvisionedThroughputExceededException",
		"ServiceUnavailable", "InternalServerError", "InternalFailure":
		return fault.Throttled
	case "ValidationException":
		return fault.Invalid
	}
	return nil
}
