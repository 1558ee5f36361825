"""Amazon DynamoDB, through aiobotocore or aioboto3."""

from bulkwriter.backends.dynamodb.backend import DynamoDBBackend

__all__ = ["DynamoDBBackend"]
