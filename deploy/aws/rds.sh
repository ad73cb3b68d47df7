# The steps that make an RDS instance ready, to be read and pasted one by one: they are no script. Put your own names.

aws rds create-db-parameter-group --db-parameter-group-name tributary --db-parameter-group-family postgres17 --description "logical replication"

# wal_level cannot be set on RDS: this sets it, at the next reboot.
aws rds modify-db-parameter-group --db-parameter-group-name tributary --parameters ParameterName=rds.logical_replication,ParameterValue=1,ApplyMethod=pending-reboot ParameterName=max_slot_wal_keep_size,ParameterValue=51200,ApplyMethod=immediate

# Only for source.auth: rds_iam.
aws rds modify-db-parameter-group --db-parameter-group-name tributary --parameters ParameterName=rds.iam_auth_for_replication,ParameterValue=1,ApplyMethod=immediate
aws rds modify-db-instance --db-instance-identifier shop --enable-iam-database-authentication --apply-immediately

aws rds modify-db-instance --db-instance-identifier shop --db-parameter-group-name tributary --apply-immediately
aws rds reboot-db-instance --db-instance-identifier shop
aws rds wait db-instance-available --db-instance-identifier shop

# "in-sync", or "pending-reboot" where the reboot is still to come.
aws rds describe-db-instances --db-instance-identifier shop --query "DBInstances[0].DBParameterGroups"

# The brokers' addresses, of which the one for IAM has port 9098.
aws kafka list-clusters-v2 --query "ClusterInfoList[].[ClusterName,ClusterArn]"
aws kafka get-bootstrap-brokers --cluster-arn arn:aws:kafka:us-east-1:111122223333:cluster/cdc/EXAMPLE

# The pods must reach the instance and the brokers.
aws ec2 authorize-security-group-ingress --group-id sg-0source --protocol tcp --port 5432 --source-group sg-0pods
aws ec2 authorize-security-group-ingress --group-id sg-0brokers --protocol tcp --port 9098 --source-group sg-0pods

aws iam create-policy --policy-name tributary-msk --policy-document file://deploy/aws/iam/msk.json
aws iam create-role --role-name tributary --assume-role-policy-document file://deploy/aws/iam/trust-pod-identity.json
aws iam attach-role-policy --role-name tributary --policy-arn arn:aws:iam::111122223333:policy/tributary-msk
aws eks create-pod-identity-association --cluster-name cdc --namespace cdc --service-account tributary --role-arn arn:aws:iam::111122223333:role/tributary
