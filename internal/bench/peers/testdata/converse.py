"""Keeps one conversation with a peer and reads its end, counting what that asks of DynamoDB.

    python3 converse.py PEER TABLE < turns.json

turns.json is a list of texts, of the user and the assistant in turn. What is printed is
JSON: the cost of keeping them, one by one as they are said, the cost of a new process
that reads the last 20, and these 20 texts. The table is made before and deleted after.
Endpoint, region and credentials are those of the environment.
"""

import json
import sys
import threading
from typing import Annotated, TypedDict

import boto3

READS = {"GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems"}
ASKED = ', "ReturnConsumedCapacity": "TOTAL"'  # what we add to a request that does not ask


class Count:
    """Counts the requests of a client, and has DynamoDB report what they consume."""

    def __init__(self, client):
        self.cost = {"requests": 0, "writeUnits": 0.0, "readUnits": 0.0, "sent": 0, "received": 0}
        self.lock = threading.Lock()  # a graph writes from threads of its own
        events = client.meta.events
        events.register("before-parameter-build.dynamodb.*", self._ask)
        events.register("before-send.dynamodb.*", self._send)
        events.register("after-call.dynamodb.*", self._answer)

    def _ask(self, params, model, context, **_):
        context["asked"] = "ReturnConsumedCapacity" not in params
        params["ReturnConsumedCapacity"] = "TOTAL"

    def _send(self, request, **_):
        with self.lock:
            self.cost["requests"] += 1
            self.cost["sent"] += len(request.body)

    def _answer(self, http_response, parsed, model, context, **_):
        used = parsed["ConsumedCapacity"]  # an answer without it must not count as free
        units = sum(float(one["CapacityUnits"]) for one in (used if isinstance(used, list) else [used]))
        with self.lock:
            self.cost["sent"] -= len(ASKED) if context["asked"] else 0
            self.cost["received"] += len(http_response.content)
            self.cost["readUnits" if model.name in READS else "writeUnits"] += units


def make_table(client, name, *keys):
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": "S"} for k in keys],
        KeySchema=[{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"))],
    )
    client.get_waiter("table_exists").wait(TableName=name)


def langchain(table, turns, together):
    """LangChain's DynamoDBChatMessageHistory, which is told so many messages at a time."""
    from langchain_community.chat_message_histories import DynamoDBChatMessageHistory
    from langchain_core.messages import AIMessage, HumanMessage

    make_table(boto3.client("dynamodb"), table, "SessionId")
    history = DynamoDBChatMessageHistory(table_name=table, session_id="s1")
    count = Count(history.table.meta.client)
    messages = [(AIMessage if i % 2 else HumanMessage)(content=text) for i, text in enumerate(turns)]
    for i in range(0, len(messages), together):
        history.add_messages(messages[i : i + together])
    wrote = count.cost

    history = DynamoDBChatMessageHistory(table_name=table, session_id="s1")
    count = Count(history.table.meta.client)
    last = [m.content for m in history.messages[-20:]]
    return wrote, count.cost, last


def langgraph(table, turns, compress):
    """LangGraph's DynamoDBSaver under a graph of one node, which answers the user."""
    from langchain_core.messages import AIMessage, HumanMessage
    from langgraph.graph import END, START, StateGraph
    from langgraph.graph.message import add_messages
    from langgraph_checkpoint_aws import DynamoDBSaver

    class State(TypedDict):
        messages: Annotated[list, add_messages]

    def answer(state):
        n = len(state["messages"])
        return {"messages": [AIMessage(content=turns[n], id=f"m{n:03d}")]}

    def compiled():
        saver = DynamoDBSaver(table_name=table, enable_checkpoint_compression=compress)
        graph = StateGraph(State)
        graph.add_node("answer", answer)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        return graph.compile(checkpointer=saver), Count(saver.client)

    make_table(boto3.client("dynamodb"), table, "PK", "SK")
    thread = {"configurable": {"thread_id": "s1"}}
    graph, count = compiled()
    for i in range(0, len(turns), 2):
        graph.invoke({"messages": [HumanMessage(content=turns[i], id=f"m{i:03d}")]}, thread)
    wrote = count.cost

    graph, count = compiled()
    last = [m.content for m in graph.get_state(thread).values["messages"][-20:]]
    return wrote, count.cost, last


PEERS = {
    "langchain": lambda table, turns: langchain(table, turns, 1),
    "langchain-pairs": lambda table, turns: langchain(table, turns, 2),
    "langgraph": lambda table, turns: langgraph(table, turns, False),
    "langgraph-compressed": lambda table, turns: langgraph(table, turns, True),
}


def main():
    peer, table = sys.argv[1:]
    turns = json.load(sys.stdin)
    try:
        wrote, read, last = PEERS[peer](table, turns)
    finally:
        client = boto3.client("dynamodb")
        try:
            client.delete_table(TableName=table)
        except client.exceptions.ResourceNotFoundException:
            pass  # nothing was made
    json.dump({"wrote": wrote, "read": read, "last": last}, sys.stdout)


main()
