#!/usr/bin/env bash
#
# Sets up a render farm on Cloud Run, or brings it up to date: run it again after every change, and when it was interrupted.
# Needs gcloud, signed in as somebody who may, and Docker, unless IMAGE says which image there is already.
#
#   PROJECT=my-project REGION=europe-west1 BUCKET=my-renders deploy/cloudrun/deploy.sh
#
#   orchestrator ──run.invoker──▶ service ──▶ logs
#        │ get, put, list, delete    │ get assets/, jobs/; put jobs/…/chunks/
#        └────────▶ bucket ◀─────────┘
#
# It makes two accounts and no key for them, grants nothing on the project as a whole, and lets nobody in without IAM.
# It takes nothing away: what an earlier version has granted, and you do not want any more, you remove yourself.
set -euo pipefail

fail() {
  printf 'deploy.sh: %s\n' "$1" >&2
  exit 1
}
step() { printf '==== %s\n' "$1" >&2; }

# ---
# parameters
# ---

(($# == 0)) || fail "parameters are environment variables, not arguments: see the beginning of this file"

: "${PROJECT:=}" "${REGION:=}" "${BUCKET:=}"             # which project and region; a bucket for this farm alone
: "${SERVICE:=render-worker}"                            # the service's name
: "${REPOSITORY:=render-worker}"                         # the repository for its image
: "${IMAGE:=}"                                           # an image by its digest; without, it is built and pushed
: "${WORKER_ACCOUNT:=render-worker}"                     # the account that job files' commands run as
: "${ORCHESTRATOR_ACCOUNT:=render-orchestrator}"         # the account that runs jobs
: "${CPU:=2}" "${MEMORY:=4Gi}"                           # of each instance
: "${SCRATCH:=2Gi}"                                      # how much of that memory /tmp may take
: "${MAX_INSTANCES:=100}"                                # how many chunks at once
: "${INGRESS:=all}"                                      # or internal, for orchestrators inside of Google's network
: "${JOB_DAYS:=7}" "${ASSET_DAYS:=30}"                   # until what is left of jobs, and assets, are deleted

# All of it goes into YAML and JSON: nothing that would mean something there passes.
check() {
  local name=$1 pattern=$2 like=$3
  [[ -n ${!name} ]] || fail "$name is not set: $like"
  [[ ${!name} =~ ^($pattern)$ ]] || fail "$name cannot be '${!name}': $like"
}
check PROJECT '[a-z][a-z0-9-]{4,28}[a-z0-9]' 'the ID of a project, such as my-project'
check REGION '[a-z]+-[a-z]+[0-9]+' 'a region of Cloud Run, such as europe-west1'
check BUCKET '[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]' 'the name of a bucket, such as my-project-renders'
check SERVICE '[a-z]([a-z0-9-]{0,47}[a-z0-9])?' 'lower-case letters, digits and dashes, 49 at most'
check REPOSITORY '[a-z]([a-z0-9-]{0,61}[a-z0-9])?' 'lower-case letters, digits and dashes, 63 at most'
check WORKER_ACCOUNT '[a-z][a-z0-9-]{4,28}[a-z0-9]' '6 to 30 lower-case letters, digits and dashes'
check ORCHESTRATOR_ACCOUNT '[a-z][a-z0-9-]{4,28}[a-z0-9]' '6 to 30 lower-case letters, digits and dashes'
check CPU '1|2|4|6|8' '1, 2, 4, 6 or 8 processors'
check MEMORY '[1-9][0-9]*(Mi|Gi)' 'memory, such as 4Gi'
check SCRATCH '[1-9][0-9]*(Mi|Gi)' 'memory, such as 2Gi'
check MAX_INSTANCES '[1-9][0-9]{0,3}' 'how many instances there may be, such as 100'
check INGRESS 'all|internal|internal-and-cloud-load-balancing' 'all, internal or internal-and-cloud-load-balancing'
check JOB_DAYS '[1-9][0-9]{0,3}' 'a number of days'
check ASSET_DAYS '[1-9][0-9]{0,3}' 'a number of days'
[[ -z $IMAGE ]] || check IMAGE '[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}' 'an image by its digest, HOST/NAME@sha256:…'
[[ $WORKER_ACCOUNT != "$ORCHESTRATOR_ACCOUNT" ]] ||
  fail "WORKER_ACCOUNT and ORCHESTRATOR_ACCOUNT are the same: commands of job files would have all rights of who runs jobs"

mebibytes() { if [[ $1 == *Gi ]]; then echo $((${1%Gi} * 1024)); else echo "${1%Mi}"; fi; }
(($(mebibytes "$SCRATCH") < $(mebibytes "$MEMORY"))) ||
  fail "SCRATCH ($SCRATCH) is a part of MEMORY ($MEMORY): it has to be smaller, and leave Chromium what it needs"

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORKER_EMAIL=$WORKER_ACCOUNT@$PROJECT.iam.gserviceaccount.com
ORCHESTRATOR_EMAIL=$ORCHESTRATOR_ACCOUNT@$PROJECT.iam.gserviceaccount.com
scratch_files=$(mktemp -d)
trap 'rm -rf "$scratch_files"' EXIT

google() { gcloud "$@" --project="$PROJECT" --quiet; }
exists() { google "$@" --format='value(name)' > "$scratch_files/found" 2> /dev/null; }

# ---
# who
# ---

step "services of Google that are used"
google services enable artifactregistry.googleapis.com iam.googleapis.com iamcredentials.googleapis.com \
  run.googleapis.com storage.googleapis.com

account() {
  step "account $1"
  exists iam service-accounts describe "$1@$PROJECT.iam.gserviceaccount.com" ||
    google iam service-accounts create "$1" --display-name="$1" --description="$2"
}
account "$WORKER_ACCOUNT" "What code in job files can do: it runs as this account"
account "$ORCHESTRATOR_ACCOUNT" "Runs jobs on the render farm: calls its service, keeps files in its bucket"

# Grants a role. An account that was just made is not known everywhere yet, which is no reason to give up.
grant() {
  local attempt said
  for attempt in 1 2 3 4 5 6; do
    if said=$(google "$@" --format=none 2>&1); then return; fi
    [[ $said == *"does not exist"* ]] || break
    sleep 5
  done
  fail "gcloud $1 $2 $3 failed $attempt times, at last with: $said"
}

# ---
# the bucket
# ---

step "bucket $BUCKET"
number=$(google projects describe "$PROJECT" --format='value(projectNumber)')
owner=$(google storage buckets describe "gs://$BUCKET" --raw --format='value(projectNumber)' 2> /dev/null) || owner=
if [[ -z $owner ]]; then
  google storage buckets create "gs://$BUCKET" --location="$REGION" --uniform-bucket-level-access \
    --public-access-prevention
# All buckets of the world share their names: one that can be read is not ours for that.
elif [[ $owner != "$number" ]]; then
  fail "bucket $BUCKET is that of another project ($owner): set BUCKET to a name that nobody has"
fi
cat > "$scratch_files/lifecycle.json" << EOF
{
  "rule": [
    { "action": { "type": "Delete" }, "condition": { "age": $JOB_DAYS, "matchesPrefix": ["jobs/"] } },
    { "action": { "type": "Delete" }, "condition": { "age": $ASSET_DAYS, "matchesPrefix": ["assets/"] } }
  ]
}
EOF
# Without soft deletion: chunks that were joined would be kept, and paid for, for a week.
google storage buckets update "gs://$BUCKET" --uniform-bucket-level-access --public-access-prevention \
  --lifecycle-file="$scratch_files/lifecycle.json" --clear-soft-delete

step "rights in the bucket"
objects="projects/_/buckets/$BUCKET/objects"
# $1 account, $2 role, $3 title, $4 which objects
grant_objects() {
  cat > "$scratch_files/condition.json" << EOF
{
  "title": "$3",
  "expression": "resource.type == 'storage.googleapis.com/Object' && ($4)"
}
EOF
  grant storage buckets add-iam-policy-binding "gs://$BUCKET" --member="serviceAccount:$1" --role="$2" \
    --condition-from-file="$scratch_files/condition.json"
}
# A worker reads what it is told to, and writes the outputs and logs of attempts: it cannot change any job, or list any.
# It may replace what it wrote, since an upload whose answer was lost is sent again.
grant_objects "$WORKER_EMAIL" roles/storage.objectViewer "reads assets and jobs" \
  "resource.name.startsWith('$objects/assets/') || resource.name.startsWith('$objects/jobs/')"
grant_objects "$WORKER_EMAIL" roles/storage.objectUser "writes outputs of chunks" \
  "resource.name.startsWith('$objects/jobs/') && resource.name.extract('$objects/jobs/{job}/chunks/') != ''"
grant storage buckets add-iam-policy-binding "gs://$BUCKET" --member="serviceAccount:$ORCHESTRATOR_EMAIL" \
  --role=roles/storage.objectUser --condition=None

# ---
# the image
# ---

if [[ -z $IMAGE ]]; then
  registry=$REGION-docker.pkg.dev
  name=$registry/$PROJECT/$REPOSITORY/worker
  step "image $name"
  exists artifacts repositories describe "$REPOSITORY" --location="$REGION" ||
    google artifacts repositories create "$REPOSITORY" --location="$REGION" --repository-format=docker \
      --description="The render farm's worker"
  google auth configure-docker "$registry"
  docker build --platform linux/amd64 --file "$here/Dockerfile" --tag "$name:latest" "$here/../.."
  docker push "$name:latest"
  digest=$(google artifacts docker images describe "$name:latest" --format='value(image_summary.digest)')
  IMAGE=$name@$digest
  check IMAGE '[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}' 'what was pushed has no digest'
fi

# ---
# the service
# ---

step "service $SERVICE"
# Asked in a way that tells "none" from "no answer": who cannot look does not deploy.
there=$(google run services list --region="$REGION" --filter="metadata.name=$SERVICE" --format='value(metadata.name)')
if [[ -n $there ]]; then
  policy=$(google run services get-iam-policy "$SERVICE" --region="$REGION" --format=json)
  [[ $policy != *allUsers* && $policy != *allAuthenticatedUsers* ]] ||
    fail "service $SERVICE lets everybody in, who could then run commands on it: remove allUsers and \
allAuthenticatedUsers with gcloud run services remove-iam-policy-binding, or set SERVICE to a name that is not taken"
fi
manifest=$(< "$here/service.yaml")
# But the comments, which speak of them.
manifest=$(grep -v '^ *#' <<< "$manifest")
for name in SERVICE REGION INGRESS MAX_INSTANCES WORKER_EMAIL IMAGE BUCKET PROJECT CPU MEMORY SCRATCH; do
  manifest=${manifest//"\${$name}"/"${!name}"}
done
[[ $manifest != *'${'* ]] || fail "service.yaml has a parameter that this script does not know"
printf '%s\n' "$manifest" > "$scratch_files/service.yaml"
google run services replace "$scratch_files/service.yaml" --region="$REGION"
grant run services add-iam-policy-binding "$SERVICE" --region="$REGION" --member="serviceAccount:$ORCHESTRATOR_EMAIL" \
  --role=roles/run.invoker --condition=None

url=$(google run services describe "$SERVICE" --region="$REGION" --format='value(status.url)')
step "done"
printf 'SERVICE_URL=%s\nBUCKET=%s\nORCHESTRATOR=%s\nIMAGE=%s\n' "$url" "$BUCKET" "$ORCHESTRATOR_EMAIL" "$IMAGE"
