package dynamomemory

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// template is a CloudFormation template of the table.
func (o *TableOptions) template(table string) object {
	kind, properties := "AWS::DynamoDB::Table", o.tableProperties(table)
	if len(o.Replicas) > 0 {
		kind, properties = "AWS::DynamoDB::GlobalTable", o.globalProperties(table)
	}
	return object{
		{"AWSTemplateFormatVersion", "2010-09-09"},
		{"Description", "Conversations of agents, kept by genaistore"},
		{"Resources", object{{"Conversations", object{
			{"Type", kind},
			{"DeletionPolicy", "Retain"},
			{"UpdateReplacePolicy", "Retain"},
			{"Properties", properties},
		}}}},
		{"Outputs", object{
			{"TableName", object{{"Value", object{{"Ref", "Conversations"}}}}},
			{"TableArn", object{{"Value", object{{"Fn::GetAtt", []string{"Conversations", "Arn"}}}}}},
		}},
	}
}

// sharedProperties are those that both resource types have.
func (o *TableOptions) sharedProperties(table string) object {
	in := o.createInput(table)
	var attributes, global, local []object
	for _, a := range in.AttributeDefinitions {
		attributes = append(attributes, object{{"AttributeName", *a.AttributeName}, {"AttributeType", string(a.AttributeType)}})
	}
	for _, i := range in.GlobalSecondaryIndexes {
		global = append(global, indexObject(*i.IndexName, i.KeySchema, i.Projection))
	}
	for _, i := range in.LocalSecondaryIndexes {
		local = append(local, indexObject(*i.IndexName, i.KeySchema, i.Projection))
	}
	properties := object{
		{"TableName", table},
		{"BillingMode", string(in.BillingMode)},
		{"AttributeDefinitions", attributes},
		{"KeySchema", keyObjects(in.KeySchema)},
		{"GlobalSecondaryIndexes", global},
	}
	if len(local) > 0 {
		properties = append(properties, member{"LocalSecondaryIndexes", local})
	}
	if !o.NoTTL {
		properties = append(properties, member{"TimeToLiveSpecification", object{{"AttributeName", o.Schema.TTL}, {"Enabled", true}}})
	}
	return properties
}

func indexObject(name string, schema []types.KeySchemaElement, projection *types.Projection) object {
	return object{
		{"IndexName", name},
		{"KeySchema", keyObjects(schema)},
		{"Projection", object{{"ProjectionType", string(projection.ProjectionType)}}},
	}
}

func keyObjects(schema []types.KeySchemaElement) []object {
	var elements []object
	for _, e := range schema {
		elements = append(elements, object{{"AttributeName", *e.AttributeName}, {"KeyType", string(e.KeyType)}})
	}
	return elements
}

// guards are the settings that a table has for itself, and a global table for
// each replica.
func (o *TableOptions) guards() object {
	var guards object
	if !o.NoRecovery {
		guards = append(guards, member{"PointInTimeRecoverySpecification", object{{"PointInTimeRecoveryEnabled", true}}})
	}
	if o.DeletionProtection {
		guards = append(guards, member{"DeletionProtectionEnabled", true})
	}
	return guards
}

func (o *TableOptions) tableProperties(table string) object {
	properties := append(o.sharedProperties(table), o.guards()...)
	if o.KMSKey == "" {
		return properties
	}
	sse := object{{"SSEEnabled", true}, {"SSEType", "KMS"}}
	if o.KMSKey != awsManagedKey {
		sse = append(sse, member{"KMSMasterKeyId", o.KMSKey})
	}
	return append(properties, member{"SSESpecification", sse})
}

func (o *TableOptions) globalProperties(table string) object {
	properties := o.sharedProperties(table)
	if o.Consistency == Strong {
		properties = append(properties, member{"MultiRegionConsistency", Strong.String()})
		if o.Witness != "" {
			properties = append(properties, member{"GlobalTableWitnesses", []object{{{"Region", o.Witness}}}})
		}
	} else {
		// Eventual replication reads the stream; strong replication does not.
		properties = append(properties, member{"StreamSpecification", object{{"StreamViewType", "NEW_AND_OLD_IMAGES"}}})
	}
	if len(o.kmsKeys()) > 0 {
		properties = append(properties, member{"SSESpecification", object{{"SSEEnabled", true}, {"SSEType", "KMS"}}})
	}
	var replicas []object
	for _, r := range o.Replicas {
		replica := append(object{{"Region", r.Region}}, o.guards()...)
		if key := o.replicaKey(r); key != "" {
			replica = append(replica, member{"SSESpecification", object{{"KMSMasterKeyId", key}}})
		}
		replicas = append(replicas, replica)
	}
	return append(properties, member{"Replicas", replicas})
}

// replicaKey is the key to be named for a replica, which that of AWS must not be.
func (o *TableOptions) replicaKey(r Replica) string {
	key := r.KMSKey
	if key == "" {
		key = o.KMSKey
	}
	if key == awsManagedKey {
		return ""
	}
	return key
}
