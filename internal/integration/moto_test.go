package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	efstypes "github.com/aws/aws-sdk-go-v2/service/efs/types"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	sfntypes "github.com/aws/aws-sdk-go-v2/service/sfn/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

// On AWS these need roles and cost money by the file system: they run on moto alone.
func TestControlPlanes(t *testing.T) {
	targets := []target[aws.Config]{{servers.NameMoto, servers.Moto}}
	runChecks(t, targets, controlPlaneChecks())
}

func controlPlaneChecks() []check[aws.Config] {
	return []check[aws.Config]{
		{servers.FileSystems, fileSystems},
		{servers.UpdateFS, updateFileSystem},
		{servers.StateMachines, stateMachines},
		{servers.ValidatedASL, validatedDefinitions},
		{servers.SecondMachines, secondMachines},
		{servers.RetriedTokens, retriedTokens},
	}
}

func fileSystem(t *testing.T, c *efs.Client) (*efs.CreateFileSystemOutput, error) {
	fs, err := c.CreateFileSystem(t.Context(), &efs.CreateFileSystemInput{CreationToken: new(servers.Unique(t, "token")), Encrypted: new(true)})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() {
		ctx := contextAfter(t)
		if _, err := c.DeleteFileSystem(ctx, &efs.DeleteFileSystemInput{FileSystemId: fs.FileSystemId}); err != nil {
			t.Errorf("file system %s is left: %v", *fs.FileSystemId, err)
		}
	})
	return fs, nil
}

func fileSystems(t *testing.T, cfg aws.Config) error {
	c := efs.NewFromConfig(cfg)
	fs, err := fileSystem(t, c)
	if err != nil {
		return err
	}
	_, again := c.CreateFileSystem(t.Context(), &efs.CreateFileSystemInput{CreationToken: fs.CreationToken, Encrypted: new(true)})
	if err := failsAs[*efstypes.FileSystemAlreadyExists](again); err != nil {
		return err
	}
	d, err := c.DescribeFileSystems(t.Context(), &efs.DescribeFileSystemsInput{FileSystemId: fs.FileSystemId})
	if err != nil {
		return err
	}
	ap, err := c.CreateAccessPoint(t.Context(), &efs.CreateAccessPointInput{
		ClientToken: new(servers.Unique(t, "token")), FileSystemId: fs.FileSystemId, RootDirectory: &efstypes.RootDirectory{Path: new("/a")},
	})
	if err != nil {
		return err
	}
	points, err := c.DescribeAccessPoints(t.Context(), &efs.DescribeAccessPointsInput{FileSystemId: fs.FileSystemId})
	if err != nil {
		return err
	}
	_, err = c.DeleteAccessPoint(t.Context(), &efs.DeleteAccessPointInput{AccessPointId: ap.AccessPointId})
	_, unknown := c.DescribeFileSystems(t.Context(), &efs.DescribeFileSystemsInput{FileSystemId: new("fs-0123456789abcdef0")})
	return errors.Join(err,
		same("file systems", len(d.FileSystems), 1), same("state", d.FileSystems[0].LifeCycleState, efstypes.LifeCycleStateAvailable),
		same("access points", len(points.AccessPoints), 1), failsAs[*efstypes.FileSystemNotFound](unknown))
}

func updateFileSystem(t *testing.T, cfg aws.Config) error {
	// A server that fails with 500 is asked again and again by a patient client.
	c := efs.NewFromConfig(cfg, func(o *efs.Options) { o.RetryMaxAttempts = 1 })
	fs, err := fileSystem(t, c)
	if err != nil {
		return err
	}
	_, err = c.UpdateFileSystem(t.Context(), &efs.UpdateFileSystemInput{FileSystemId: fs.FileSystemId, ThroughputMode: efstypes.ThroughputModeElastic})
	return err
}

// execute runs a state machine and returns its output.
func execute(t *testing.T, c *sfn.Client, definition, input string) (string, error) {
	ctx := t.Context()
	m, err := c.CreateStateMachine(ctx, &sfn.CreateStateMachineInput{
		Name: new(servers.Unique(t, "machine")), Definition: &definition, RoleArn: new("arn:aws:iam::123456789012:role/machine"),
	})
	if err != nil {
		return "", err
	}
	e, err := c.StartExecution(ctx, &sfn.StartExecutionInput{StateMachineArn: m.StateMachineArn, Input: &input})
	if err != nil {
		return "", err
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		d, err := c.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: e.ExecutionArn})
		if err != nil {
			return "", err
		}
		switch d.Status {
		case sfntypes.ExecutionStatusSucceeded:
			return *d.Output, nil
		case sfntypes.ExecutionStatusRunning:
		default:
			return "", fmt.Errorf("status %s: %s", d.Status, value(d.Cause))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return "", errors.New("still running after 20 s")
}

const passState = `{"StartAt": "P", "States": {"P": {"Type": "Pass", "Parameters": {"got.$": "$.in"}, "End": true}}}`

func stepFunctions(cfg aws.Config) *sfn.Client {
	return sfn.NewFromConfig(cfg, func(o *sfn.Options) { o.RetryMaxAttempts = 1 })
}

func stateMachines(t *testing.T, cfg aws.Config) error {
	out, err := execute(t, stepFunctions(cfg), passState, `{"in": 7}`)
	if err != nil {
		return err
	}
	var got map[string]any
	err = json.Unmarshal([]byte(out), &got)
	return errors.Join(err, same("output", got, map[string]any{"got": 7.0}))
}

func validatedDefinitions(t *testing.T, cfg aws.Config) error {
	_, err := stepFunctions(cfg).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: new(servers.Unique(t, "machine")), RoleArn: new("arn:aws:iam::123456789012:role/machine"),
		Definition: new(`{"StartAt": "none", "States": {}}`),
	})
	return failsAs[*sfntypes.InvalidDefinition](err)
}

// The first attempt of a task fails, the second succeeds.
func retriedTokens(t *testing.T, cfg aws.Config) error {
	ctx, states, queues := t.Context(), stepFunctions(cfg), sqs.NewFromConfig(cfg)
	queue, err := queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: new(servers.Unique(t, "tokens"))})
	if err != nil {
		return err
	}
	var answered sync.WaitGroup
	var answers error
	answered.Go(func() {
		for attempt := range 2 {
			got, err := queues.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: queue.QueueUrl, WaitTimeSeconds: 5})
			if err != nil || len(got.Messages) == 0 {
				answers = errors.Join(err, errors.New("no second attempt"))
				return
			}
			token := got.Messages[0].Body
			if attempt == 0 {
				_, err = states.SendTaskFailure(ctx, &sfn.SendTaskFailureInput{TaskToken: token, Error: new("Later")})
			} else {
				_, err = states.SendTaskSuccess(ctx, &sfn.SendTaskSuccessInput{TaskToken: token, Output: new("2")})
			}
			answers = errors.Join(answers, err)
		}
	})
	out, err := execute(t, states, fmt.Sprintf(`{"StartAt": "T", "States": {"T": {
		"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "End": true,
		"Parameters": {"QueueUrl": %q, "MessageBody.$": "$$.Task.Token"},
		"Retry": [{"ErrorEquals": ["Later"], "IntervalSeconds": 1, "MaxAttempts": 1}]
	}}}`, *queue.QueueUrl), `{}`)
	answered.Wait()
	return errors.Join(err, answers, same("output", out, "2"))
}

func secondMachines(t *testing.T, cfg aws.Config) error {
	c := stepFunctions(cfg)
	_, err1 := execute(t, c, passState, `{"in": 1}`)
	_, err2 := execute(t, c, passState, `{"in": 2}`)
	return errors.Join(err1, err2)
}
