package template

// only makes a resource that is there only with the cache.
func only(kind string, properties Object) Object {
	return Object{"Type": kind, "Condition": withCache, "Properties": properties}
}

// network is a VPC without a way to the internet: the functions reach DynamoDB by a
// gateway, and the other services by interfaces.
func network() Object {
	subnet := func(n int) Object {
		return only("AWS::EC2::Subnet", Object{
			"VpcId":            Ref("Vpc"),
			"CidrBlock":        Object{"Fn::Select": []any{n, Object{"Fn::Cidr": []any{Ref("VpcCidr"), 2, 6}}}},
			"AvailabilityZone": Object{"Fn::Select": []any{n, Object{"Fn::GetAZs": ""}}},
		})
	}
	route := func(subnet string) Object {
		return only("AWS::EC2::SubnetRouteTableAssociation", Object{"RouteTableId": Ref("Routes"), "SubnetId": Ref(subnet)})
	}
	group := func(description string) Object {
		return only("AWS::EC2::SecurityGroup", Object{"GroupDescription": description, "VpcId": Ref("Vpc")})
	}
	ingress := func(group string, port int) Object {
		return only("AWS::EC2::SecurityGroupIngress", Object{
			"GroupId": Att(group, "GroupId"), "IpProtocol": "tcp", "FromPort": port, "ToPort": port,
			"SourceSecurityGroupId": Att("FunctionGroup", "GroupId"), "Description": "From the functions",
		})
	}
	resources := Object{
		"Vpc":     only("AWS::EC2::VPC", Object{"CidrBlock": Ref("VpcCidr"), "EnableDnsSupport": true, "EnableDnsHostnames": true}),
		"SubnetA": subnet(0), "SubnetB": subnet(1),
		"Routes":  only("AWS::EC2::RouteTable", Object{"VpcId": Ref("Vpc")}),
		"RoutesA": route("SubnetA"), "RoutesB": route("SubnetB"),
		"FunctionGroup": group("The functions"), "CacheGroup": group("The cache"), "ServiceGroup": group("Services of AWS"),
		"CacheIngress": ingress("CacheGroup", 9111), "ServiceIngress": ingress("ServiceGroup", 443),
		"TableGateway": only("AWS::EC2::VPCEndpoint", Object{
			"VpcEndpointType": "Gateway", "VpcId": Ref("Vpc"), "RouteTableIds": []any{Ref("Routes")}, "ServiceName": sub("com.amazonaws.${AWS::Region}.dynamodb"),
		}),
	}
	for name, service := range map[string]string{"Models": "bedrock-runtime", "Texts": "comprehend", "Keys": "kms"} {
		resources[name+"Interface"] = only("AWS::EC2::VPCEndpoint", Object{
			"VpcEndpointType": "Interface", "VpcId": Ref("Vpc"), "PrivateDnsEnabled": true, "ServiceName": sub("com.amazonaws.${AWS::Region}." + service),
			"SubnetIds": []any{Ref("SubnetA"), Ref("SubnetB")}, "SecurityGroupIds": []any{Att("ServiceGroup", "GroupId")},
		})
	}
	return resources
}

// cache is a DAX cluster, which acts with a role of its own, and the key that encrypts
// what it holds: behind it no policy keeps tenants apart.
func cache() Object {
	table := []any{Att("Conversations", "Arn"), sub("${Conversations.Arn}/index/*")}
	clusterRole := role("dax.amazonaws.com", []any{inline("Conversations", statement([]any{
		"dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeTable",
		"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
	}, table))})
	clusterRole["Condition"] = withCache
	key := only("AWS::KMS::Key", Object{
		"Description": "Wraps the data keys of conversations", "EnableKeyRotation": true,
		"KeyPolicy": Object{"Version": "2012-10-17", "Statement": []any{Object{
			"Effect": "Allow", "Principal": Object{"AWS": sub("arn:${AWS::Partition}:iam::${AWS::AccountId}:root")}, "Action": "kms:*", "Resource": "*",
		}}},
	})
	key["DeletionPolicy"], key["UpdateReplacePolicy"] = "Retain", "Retain" // with the table, which nobody could read without it
	return Object{
		"CacheRole": clusterRole, "CacheKey": key,
		"CacheSubnets": only("AWS::DAX::SubnetGroup", Object{"SubnetIds": []any{Ref("SubnetA"), Ref("SubnetB")}, "Description": "Of the cache"}),
		"Cache": only("AWS::DAX::Cluster", Object{
			"IAMRoleARN": Att("CacheRole", "Arn"), "NodeType": Ref("CacheNodeType"), "ReplicationFactor": Ref("CacheNodes"),
			"SubnetGroupName": Ref("CacheSubnets"), "SecurityGroupIds": []any{Att("CacheGroup", "GroupId")},
			"SSESpecification": Object{"SSEEnabled": true}, "ClusterEndpointEncryptionType": "TLS",
		}),
	}
}
