package awsfake

import "net/http"

// transactGetItems reads at one moment, for twice the units.
func (f *DynamoDB) transactGetItems(r *http.Request) (any, error) {
	var in struct {
		TransactItems []struct {
			Get struct {
				TableName string
				Key       item
			}
		}
		ReturnConsumedCapacity string
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if len(in.TransactItems) < 1 || len(in.TransactItems) > 100 {
		return nil, invalid("%d actions in a transaction: from 1 to 100", len(in.TransactItems))
	}
	responses, units, seen := []map[string]any{}, map[string]float64{}, map[string]bool{}
	for _, a := range in.TransactItems {
		t, err := f.table(a.Get.TableName)
		if err != nil {
			return nil, err
		}
		key, err := t.keyOnly(a.Get.Key)
		if err != nil {
			return nil, err
		}
		if seen[a.Get.TableName+key] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[a.Get.TableName+key] = true
		response := map[string]any{}
		it, ok := t.items[key]
		if ok {
			response["Item"] = it
		}
		responses = append(responses, response)
		units[a.Get.TableName] += 2 * readUnits(it.size(), true)
	}
	return charges(map[string]any{"Responses": responses}, in.ReturnConsumedCapacity, units), nil
}
