// SPDX-License-Identifier: Apache-2.0
#include "coordinator/outputs/history.h"

#include "common/store/csv.h"

Status history_write(const char *path, const HistoryEpoch *epochs, size_t count) {
    CsvWriter writer = CSV_WRITER_EMPTY;
    csv_writer_header(&writer, "loss,val_loss,recon_loss,recon_loss_source,recon_loss_target");
    for (size_t i = 0; i < count; i++) {
        csv_writer_number(&writer, epochs[i].loss);
        csv_writer_number(&writer, epochs[i].val_loss);
        csv_writer_number(&writer, epochs[i].loss);
        csv_writer_number(&writer, epochs[i].recon_loss_source);
        csv_writer_number(&writer, epochs[i].recon_loss_target);
        csv_writer_end_row(&writer);
    }
    Status status = csv_writer_save(&writer, path);
    csv_writer_done(&writer);
    return status;
}
