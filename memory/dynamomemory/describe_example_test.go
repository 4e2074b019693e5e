package dynamomemory_test

import (
	"fmt"
	"strings"

	"github.com/genaistore/genaistore/memory/dynamomemory"
)

// A role that reads the conversations of one tenant. The characters of a tenant's
// name are no wildcards: this is not the policy of every tenant that begins with "acme".
func ExamplePolicy() {
	policy, err := dynamomemory.Policy(dynamomemory.ReadOnly, "arn:aws:dynamodb:eu-west-1:123456789012:table/talks", "acme*", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(policy)
	// Output:
	// {
	//   "Version": "2012-10-17",
	//   "Statement": [
	//     {
	//       "Sid": "Items",
	//       "Effect": "Allow",
	//       "Action": [
	//         "dynamodb:BatchGetItem",
	//         "dynamodb:GetItem",
	//         "dynamodb:Query"
	//       ],
	//       "Resource": [
	//         "arn:aws:dynamodb:eu-west-1:123456789012:table/talks"
	//       ],
	//       "Condition": {
	//         "ForAllValues:StringLike": {
	//           "dynamodb:LeadingKeys": [
	//             "T#acme${*}#*"
	//           ]
	//         },
	//         "Null": {
	//           "dynamodb:LeadingKeys": "false"
	//         }
	//       }
	//     },
	//     {
	//       "Sid": "Indexes",
	//       "Effect": "Allow",
	//       "Action": [
	//         "dynamodb:Query"
	//       ],
	//       "Resource": [
	//         "arn:aws:dynamodb:eu-west-1:123456789012:table/talks/index/byIntent",
	//         "arn:aws:dynamodb:eu-west-1:123456789012:table/talks/index/bySentiment"
	//       ],
	//       "Condition": {
	//         "ForAllValues:StringLike": {
	//           "dynamodb:LeadingKeys": [
	//             "T#acme${*}#*"
	//           ]
	//         },
	//         "Null": {
	//           "dynamodb:LeadingKeys": "false"
	//         }
	//       }
	//     }
	//   ]
	// }
}

// Three Regions that agree before a write returns: without the index by sentiment
// and without expiry, which such tables cannot have.
func ExampleDescribe() {
	template, err := dynamomemory.Describe(dynamomemory.Terraform, "talks", &dynamomemory.TableOptions{
		Replicas:    []dynamomemory.Replica{{Region: "us-east-1"}, {Region: "us-east-2"}},
		Witness:     "us-west-2",
		Consistency: dynamomemory.Strong, NoLSI: true, NoTTL: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, replicas, _ := strings.Cut(template, "  replica ")
	fmt.Println("replica", replicas)
	// Output:
	// replica {
	//     region_name            = "us-east-2"
	//     consistency_mode       = "STRONG"
	//     point_in_time_recovery = true
	//   }
	//
	//   global_table_witness {
	//     region_name = "us-west-2"
	//   }
	//
	//   lifecycle {
	//     prevent_destroy = true
	//   }
	// }
}
