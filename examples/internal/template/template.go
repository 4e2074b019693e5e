// Package template builds the CloudFormation of the examples: a table as
// dynamomemory describes it, functions, and roles with the policies that the packages
// they use generate, in which names of this package stand for what a stack makes.
package template

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/genaistore/genaistore/memory/comprehend"
	"github.com/genaistore/genaistore/memory/dynamomemory"
	"github.com/genaistore/genaistore/memory/dynamomemory/kmscipher"
)

// An Object is one of JSON.
type Object = map[string]any

// What stands for what a stack makes, until resolve puts the intrinsic functions there.
const (
	someTable    = "SOMETABLE"
	someTableARN = "arn:aws:dynamodb:us-east-1:123456789012:table/" + someTable
	someTenant   = "SOMETENANT"
	someKeyARN   = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
	someEndpoint = "arn:aws:comprehend:us-east-1:123456789012:document-classifier-endpoint/some"
)

// Conditions of the templates.
const (
	withCache      = "WithCache"
	withClassifier = "WithClassifier"
)

// Ref is the intrinsic function of that name.
func Ref(name string) Object { return Object{"Ref": name} }

// Att is Fn::GetAtt.
func Att(name, attribute string) Object { return Object{"Fn::GetAtt": []any{name, attribute}} }

func sub(text string) Object { return Object{"Fn::Sub": text} }

func choose(condition string, yes, no any) Object { return Object{"Fn::If": []any{condition, yes, no}} }

func noValue() Object { return Ref("AWS::NoValue") }

// A Function is one of Lambda, and what its role may do.
type Function struct {
	Handler string
	Timeout int // seconds
	Access  dynamomemory.Access
	// Detects, Classifies and Converses are the services that it asks.
	Detects, Classifies, Converses bool
}

// Stack returns a template with the table, with functions by their logical names, and
// with what only the cache needs under a condition. More are resources and outputs of
// the example itself.
func Stack(description string, functions map[string]Function, more, outputs Object) ([]byte, error) {
	table, err := table()
	if err != nil {
		return nil, err
	}
	resources := Object{"Conversations": table}
	for name, f := range functions {
		made, err := f.resources(name)
		if err != nil {
			return nil, err
		}
		maps.Copy(resources, made)
	}
	maps.Copy(resources, network())
	maps.Copy(resources, cache())
	maps.Copy(resources, more)
	out := Object{"TableName": Object{"Value": Ref("Conversations")}}
	maps.Copy(out, outputs)
	raw, err := json.MarshalIndent(Object{
		"AWSTemplateFormatVersion": "2010-09-09", "Description": description, "Parameters": parameters(),
		"Conditions": Object{
			withCache:      Object{"Fn::Equals": []any{Ref("UseCache"), "true"}},
			withClassifier: Object{"Fn::Not": []any{Object{"Fn::Equals": []any{Ref("ClassifierArn"), ""}}}},
		},
		"Resources": resources, "Outputs": out,
	}, "", "  ")
	return append(raw, '\n'), err
}

func parameters() Object {
	text := func(description string, more Object) Object {
		p := Object{"Type": "String", "Description": description}
		maps.Copy(p, more)
		return p
	}
	return Object{
		"CodeBucket": text("The bucket of the program, zipped as bootstrap, built for linux/arm64; with -tags dax for a cache", nil),
		"CodeKey":    text("Its key", nil),
		// Of these names the encoding in keys is the name itself.
		"Tenant":        text("The tenant that the functions serve, and their roles may read", Object{"AllowedPattern": "[A-Za-z0-9_.-]{1,64}"}),
		"ModelId":       text("The id of a foundation model of Bedrock", Object{"AllowedPattern": "[a-z0-9-]+[.][A-Za-z0-9.:-]+"}),
		"ClassifierArn": text("The endpoint of a custom classifier of Comprehend that finds intents, or nothing", Object{"Default": ""}),
		"UseCache":      text("Whether reads go through a DAX cluster, in a VPC", Object{"Default": "false", "AllowedValues": []any{"true", "false"}}),
		"CacheNodeType": text("Of the nodes of the DAX cluster", Object{"Default": "dax.t3.small"}),
		"CacheNodes":    Object{"Type": "Number", "Description": "How many, one in each zone", "Default": 2, "MinValue": 1, "MaxValue": 10},
		"VpcCidr":       text("The addresses of the VPC", Object{"Default": "10.0.0.0/24"}),
	}
}

func table() (Object, error) {
	text, err := dynamomemory.Describe(dynamomemory.CloudFormationJSON, someTable, nil)
	if err != nil {
		return nil, err
	}
	var described struct{ Resources Object }
	if err := json.Unmarshal([]byte(text), &described); err != nil {
		return nil, err
	}
	table, ok := described.Resources["Conversations"].(Object)
	properties, isMap := table["Properties"].(Object)
	if !ok || !isMap {
		return nil, fmt.Errorf("no table in %s", text)
	}
	properties["TableName"] = sub("${AWS::StackName}-conversations")
	return table, nil
}

func (f Function) resources(name string) (Object, error) {
	policies, err := f.policies(name)
	if err != nil {
		return nil, err
	}
	return Object{
		name: Object{
			"Type": "AWS::Lambda::Function", "DependsOn": []any{name + "Log"},
			"Properties": Object{
				"FunctionName": sub("${AWS::StackName}-" + name), "Description": "Example of genaistore",
				"Runtime": "provided.al2023", "Architectures": []any{"arm64"}, "Handler": f.Handler,
				"Code": Object{"S3Bucket": Ref("CodeBucket"), "S3Key": Ref("CodeKey")},
				"Role": Att(name+"Role", "Arn"), "MemorySize": 256, "Timeout": f.Timeout,
				"Environment": Object{"Variables": Object{
					"TABLE": Ref("Conversations"), "TENANT": Ref("Tenant"), "MODEL_ID": Ref("ModelId"), "CLASSIFIER": Ref("ClassifierArn"),
					"DAX_ENDPOINT": choose(withCache, Att("Cache", "ClusterDiscoveryEndpointURL"), ""),
					"KMS_KEY":      choose(withCache, Att("CacheKey", "Arn"), ""),
				}},
				"VpcConfig": choose(withCache, Object{
					"SubnetIds": []any{Ref("SubnetA"), Ref("SubnetB")}, "SecurityGroupIds": []any{Att("FunctionGroup", "GroupId")},
				}, noValue()),
			},
		},
		name + "Log": Object{
			"Type": "AWS::Logs::LogGroup", "DeletionPolicy": "Delete", "UpdateReplacePolicy": "Delete",
			"Properties": Object{"LogGroupName": sub("/aws/lambda/${AWS::StackName}-" + name), "RetentionInDays": 30},
		},
		name + "Role": role("lambda.amazonaws.com", policies),
	}, nil
}

func role(service string, policies []any) Object {
	return Object{"Type": "AWS::IAM::Role", "Properties": Object{
		"AssumeRolePolicyDocument": Object{"Version": "2012-10-17", "Statement": []any{Object{
			"Effect": "Allow", "Principal": Object{"Service": service}, "Action": "sts:AssumeRole",
		}}},
		"Policies": policies,
	}}
}

// policies are those that the packages generate, and what a function needs of Lambda.
func (f Function) policies(name string) ([]any, error) {
	data, err := dynamomemory.Policy(f.Access, someTableARN, someTenant, nil)
	if err != nil {
		return nil, err
	}
	list := []any{inline("Logs", statement([]any{"logs:CreateLogStream", "logs:PutLogEvents"}, Att(name+"Log", "Arn")))}
	generated := func(name, text string) error {
		document, err := resolve(text)
		list = append(list, Object{"PolicyName": name, "PolicyDocument": document})
		return err
	}
	if err := generated("Conversations", data); err != nil {
		return nil, err
	}
	if f.Detects || f.Classifies {
		texts, err := f.comprehend()
		if err != nil {
			return nil, err
		}
		list = append(list, texts...)
	}
	if f.Converses {
		list = append(list, inline("Model", statement([]any{"bedrock:InvokeModel"}, sub("arn:${AWS::Partition}:bedrock:${AWS::Region}::foundation-model/${ModelId}"))))
	}
	keys, err := kmscipher.Policy(someKeyARN, someTable, someTenant)
	if err != nil {
		return nil, err
	}
	document, err := resolve(keys)
	if err != nil {
		return nil, err
	}
	return append(list,
		choose(withCache, Object{"PolicyName": "DataKeys", "PolicyDocument": document}, noValue()),
		choose(withCache, inline("Cache",
			statement([]any{
				"dax:BatchGetItem", "dax:BatchWriteItem", "dax:ConditionCheckItem", "dax:DeleteItem", "dax:GetItem", "dax:PutItem", "dax:UpdateItem",
			}, Att("Cache", "Arn")),
			// Interfaces in a VPC have no ARN before Lambda makes them.
			statement([]any{"ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets"}, "*"),
		), noValue())), nil
}

// comprehend splits the generated policy by what needs a classifier.
func (f Function) comprehend() ([]any, error) {
	text, err := comprehend.Policy(&comprehend.Options{Classifier: someEndpoint})
	if err != nil {
		return nil, err
	}
	document, err := resolve(text)
	if err != nil {
		return nil, err
	}
	statements, _ := document["Statement"].([]any)
	var list []any
	for _, one := range statements {
		policy := Object{"PolicyName": "Comprehend", "PolicyDocument": Object{"Version": "2012-10-17", "Statement": []any{one}}}
		switch sid := one.(Object)["Sid"]; {
		case sid == "Classify" && f.Classifies:
			policy["PolicyName"] = "Classifier"
			list = append(list, choose(withClassifier, policy, noValue()))
		case sid != "Classify" && f.Detects:
			list = append(list, policy)
		}
	}
	return list, nil
}

func inline(name string, statements ...any) Object {
	return Object{"PolicyName": name, "PolicyDocument": Object{"Version": "2012-10-17", "Statement": statements}}
}

func statement(actions []any, resource any) Object {
	return Object{"Effect": "Allow", "Action": actions, "Resource": resource}
}

// resolve reads a generated policy and puts the stack's own names into it.
func resolve(text string) (Object, error) {
	var document Object
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	named, _ := rename(document).(Object)
	return named, nil
}

func rename(v any) any {
	switch v := v.(type) {
	case Object:
		for k, one := range v {
			v[k] = rename(one)
		}
	case []any:
		for i, one := range v {
			v[i] = rename(one)
		}
	case string:
		switch v {
		case someTableARN:
			return Att("Conversations", "Arn")
		case someTable:
			return Ref("Conversations")
		case someKeyARN:
			return Att("CacheKey", "Arn")
		case someEndpoint:
			return Ref("ClassifierArn")
		}
		if named := strings.NewReplacer(someTableARN, "${Conversations.Arn}", someTenant, "${Tenant}").Replace(v); named != v {
			return sub(named)
		}
	}
	return v
}

// Role returns a role of a service that may do some actions on resources.
func Role(service, name string, actions, resources []any) Object {
	return role(service, []any{inline(name, statement(actions, resources))})
}
